"""Two nodes that share one Redis, as clients meet them: they answer what a node without a cache answers, whatever happens
to that Redis, and serve without it."""

import signal
import threading
import time
import urllib.error
import urllib.request

import pytest
from server import PrivateRedis, nodes_of, own_server_of, run_serve
from wire import Account, Api


@pytest.fixture
def redis(request):
    """With the settings that a test is parametrized with, if it is."""
    redis = PrivateRedis(*getattr(request, "param", ())).start()
    yield redis
    redis.remove()


@pytest.fixture
def nodes(postgres_url, redis):
    """Two nodes that keep facts in Redis only, and one that keeps none, on one database."""
    shared = {"RINGWAY_REDIS_URL": redis.url, "RINGWAY_CACHE_BYTES_MAX": "0", "RINGWAY_LIMIT_CHANGES": "0"}
    with nodes_of(postgres_url, shared, shared, {"RINGWAY_CACHE": "off"}) as servers:
        for server in servers[:2]:
            eventually(lambda: "redis" not in readiness(server)[1])
        yield servers


def eventually(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def ask_operations(server, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.ports['ops']}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def readiness(server):
    return ask_operations(server, "/readyz")


def figure(server, name):
    lines = (line.rsplit(" ", 1) for line in ask_operations(server, "/metrics")[1].splitlines())
    return next(float(value) for key, value in lines if key == name)


def answers(server, account):
    api = Api(server.http)
    return [api.ok("GET", path, token=account.token) for path in ("/v1/profiles/me", "/v1/settings", "/v1/friends")]


def kill_and_start(redis):
    redis.kill()
    redis.start()


def stop_for_a_while(redis):
    redis.signal(signal.SIGSTOP)
    time.sleep(1.5)
    redis.signal(signal.SIGCONT)


def restore_a_snapshot(redis):
    redis.ask("SAVE")
    time.sleep(0.2)
    kill_and_start(redis)


FAULTS = {
    "killed": kill_and_start,
    "stopped": stop_for_a_while,
    "flushed": lambda redis: [redis.ask("FLUSHALL") for _ in range(10)],
    "snapshot": restore_a_snapshot,
    "full": lambda redis: redis.ask("CONFIG", "SET", "maxmemory", "1"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_writers_read_their_writes_and_others_soon_whatever_happens_to_redis(nodes, redis, fault):
    writer, other, plain = nodes
    alice = Account(Api(writer.http))
    trouble = threading.Thread(target=lambda: [time.sleep(0.3), FAULTS[fault](redis)])
    trouble.start()
    names, seen = 0, 0
    deadline = time.monotonic() + 15
    while trouble.is_alive() or names < 40:
        assert time.monotonic() < deadline
        names += 1
        version = int(alice.ok("PATCH", "/v1/profiles/me", {"nickname": f"name {names}"})["version"])
        assert alice.ok("GET", "/v1/profiles/me")["nickname"] == f"name {names}"
        # Elsewhere a version may be late; it is never older than one that was seen there before.
        elsewhere = int(Api(other.http).ok("GET", "/v1/profiles/me", token=alice.token)["version"])
        assert seen <= elsewhere <= version
        seen = elsewhere
    trouble.join()
    truth = answers(plain, alice)
    assert answers(writer, alice) == truth
    eventually(lambda: answers(other, alice) == truth)
    for server in (writer, other):
        eventually(lambda: "redis" not in readiness(server)[1])


def test_what_one_node_has_read_the_other_finds(nodes):
    one, other, _ = nodes
    alice = Account(Api(one.http))
    name = 'ringway_cache_shared_hits_total{fact="profile"}'
    before = figure(other, name)

    def is_found():
        for server in (one, other):
            Api(server.http).ok("GET", "/v1/profiles/me", token=alice.token)
        return figure(other, name) > before

    eventually(is_found)
    assert figure(other, "ringway_redis_connected") == 1
    assert figure(other, "ringway_redis_seconds_count") > 0


def test_node_is_ready_without_redis_and_says_so(nodes, redis):
    one = nodes[0]
    alice = Account(Api(one.http))
    redis.kill()
    eventually(lambda: "redis: not available" in readiness(one)[1])
    assert readiness(one)[0] == 200
    assert readiness(one)[1].startswith("ready\n")
    assert len(answers(one, alice)) == 3
    redis.start()
    eventually(lambda: readiness(one) == (200, "ready\n"))
    assert figure(one, "ringway_redis_sessions_total") >= 2


def test_node_starts_without_redis(postgres_url, redis):
    redis.kill()
    with own_server_of(postgres_url) as server:
        server.start(RINGWAY_REDIS_URL=redis.url)
        assert len(answers(server, Account(Api(server.http)))) == 3
        redis.start()
        eventually(lambda: readiness(server) == (200, "ready\n"))


def test_node_that_was_stopped_catches_up(nodes):
    writer, other, _ = nodes
    alice = Account(Api(writer.http))
    answers(other, alice)
    other.signal(signal.SIGSTOP)
    for number in range(20):
        alice.ok("PATCH", "/v1/profiles/me", {"nickname": f"name {number}"})
        assert alice.ok("GET", "/v1/profiles/me")["nickname"] == f"name {number}"
    other.signal(signal.SIGCONT)
    eventually(lambda: answers(other, alice)[0]["nickname"] == "name 19")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"RINGWAY_CACHE": "redis"}, "--cache redis needs --redis-url or RINGWAY_REDIS_URL"),
        ({"RINGWAY_REDIS_URL": "rediss://:hunter2@host"}, "--redis-url can't be used: TLS is not supported"),
        ({"RINGWAY_REDIS_URL": "redis://:hunter2@host:port"}, "the URL's port must be a number from 1 to 65535"),
        ({"RINGWAY_REDIS_URL": "redis://:hun@hunter2@host"}, "must be written %40 or %2F"),
        ({"RINGWAY_REDIS_URL": "redis://host", "RINGWAY_REDIS_DEADLINE_MS": "0"}, "from 1 to 1000"),
    ],
)
def test_bad_settings_are_refused_without_the_password(variables, said):
    code, text = run_serve([], {"RINGWAY_POSTGRES_URL": "postgresql://127.0.0.1:1/none"} | variables)
    assert code == 64
    assert said in text
    assert "hunter2" not in text


@pytest.mark.parametrize("redis", [("--requirepass", "right")], indirect=True)
def test_wrong_password_is_logged_without_it(postgres_url, redis):
    with own_server_of(postgres_url) as server:
        server.start(RINGWAY_REDIS_URL=redis.url.replace("unix://", "unix://:hunter2@"))
        eventually(lambda: "WRONGPASS" in server.log())
        assert "hunter2" not in server.log()
        assert readiness(server)[0] == 200
