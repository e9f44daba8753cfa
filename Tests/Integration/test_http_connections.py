"""Connections to the HTTP port that show no valid token: an address has a share of them, and no more."""

import http.client
import socket
import time

import pytest
from server import own_server_of
from wire import Account, Api, is_ended

SHARE = 8


@pytest.fixture
def guarded(postgres_url):
    with own_server_of(postgres_url) as server:
        yield server.start(RINGWAY_HTTP_STRANGERS_PER_ADDRESS=str(SHARE))


def connect(port, source="127.0.0.1"):
    return socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(source, 0))


def open_connections(server):
    _, _, text = Api(server.ports["ops"]).raw("GET", "/metrics")
    return next(int(line.split()[1]) for line in text.decode().splitlines() if line.startswith("ringway_http_connections "))


def wait_for(server, count):
    deadline = time.monotonic() + 5
    while open_connections(server) != count and time.monotonic() < deadline:
        time.sleep(0.02)
    assert open_connections(server) == count


def get(connection, token=None):
    connection.request("GET", "/v1/account", headers={"Authorization": f"Bearer {token}"} if token else {})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_an_address_has_a_share_of_strangers(guarded):
    token = Account(Api(guarded.http)).token
    wait_for(guarded, 0)
    members = [http.client.HTTPConnection("127.0.0.1", guarded.http, timeout=5) for _ in range(3 * SHARE)]
    for member in members:
        assert get(member, token) == 200
    # A token that is not good, and none, make nobody known.
    refused = http.client.HTTPConnection("127.0.0.1", guarded.http, timeout=5)
    assert get(refused, token + "x") == 401 and get(refused) == 401
    strangers = [connect(guarded.http) for _ in range(SHARE - 1)]
    wait_for(guarded, 4 * SHARE)
    for _ in range(100):
        with connect(guarded.http) as one_more:
            assert is_ended(one_more)
    # Who is in stays, who comes from elsewhere is let in, and a place that is given back is taken.
    for member in members:
        assert get(member, token) == 200
    assert get(refused) == 401
    with connect(guarded.http, source="127.0.0.2") as elsewhere:
        assert not is_ended(elsewhere, within=0.3)
    wait_for(guarded, 4 * SHARE)
    strangers.pop().close()
    wait_for(guarded, 4 * SHARE - 1)
    assert Api(guarded.http).call("GET", "/v1/account", token=token)[0] == 200
    for each in [*members, *strangers, refused]:
        each.close()


def test_who_is_behind_a_trusted_proxy_shares_nothing_with_it(postgres_url):
    with own_server_of(postgres_url) as server:
        server.start(RINGWAY_HTTP_STRANGERS_PER_ADDRESS="2", RINGWAY_TRUSTED_PROXIES="127.0.0.3")
        of_the_proxy = [connect(server.http, source="127.0.0.3") for _ in range(20)]
        wait_for(server, 20)
        for connection in of_the_proxy:
            connection.close()


def member(server, token, path="/v1/account"):
    connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=5)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    answer.read()
    return connection, answer.status


def test_connections_above_the_bound_wait(postgres_url):
    with own_server_of(postgres_url) as server:
        server.start(RINGWAY_HTTP_CONNECTIONS_MAX="4", RINGWAY_TRUSTED_PROXIES="127.0.0.1")
        wait_for(server, 0)
        held = [connect(server.http) for _ in range(4)]
        wait_for(server, 4)
        waiting = connect(server.http)
        waiting.sendall(b"GET /v1/gateway HTTP/1.1\r\nHost: x\r\n\r\n")
        waiting.settimeout(1)
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        held.pop().close()
        waiting.settimeout(5)
        assert waiting.recv(12) == b"HTTP/1.1 401"
        for each in [*held, waiting]:
            each.close()


def test_strangers_of_a_few_addresses_keep_nobody_out(postgres_url):
    """Four addresses hold all that strangers may: a newcomer takes a place of theirs, and keeps it once it shows a token."""
    with own_server_of(postgres_url) as server:
        server.start(RINGWAY_HTTP_CONNECTIONS_MAX="16", RINGWAY_HTTP_STRANGERS_PER_ADDRESS="4")
        token = Account(Api(server.http)).token
        wait_for(server, 0)
        busy = [f"127.0.0.{n}" for n in (2, 3, 4)]
        held = {address: [connect(server.http, address) for _ in range(4)] for address in busy}
        wait_for(server, 12)
        members = [member(server, token)[0] for _ in range(8)]
        wait_for(server, 15)
        # One to get in, and from the last place on one each; from whom there were most of, in turn.
        ended = {address: sum(is_ended(stranger, within=0.2) for stranger in strangers) for address, strangers in held.items()}
        assert sorted(ended.values()) == [1, 2, 2], ended
        # The busy push out nobody.
        for address in busy:
            for _ in range(20):
                with connect(server.http, address) as again:
                    again.settimeout(0.05)
                    try:
                        again.recv(1)
                    except TimeoutError:
                        pass
                    except ConnectionResetError:
                        pass
        for each in members:
            assert get(each, token) == 200
            each.close()


@pytest.mark.parametrize(("path", "status", "is_looked_at"), [
    ("/v1/profiles/1", 404, True), ("/v1/inbox?since=1000", 400, True), ("/v1/inbox?since=x", 400, False),
    ("/v1/nothing", 404, False),
])
def test_a_token_is_shown_whatever_the_answer_is(guarded, path, status, is_looked_at):
    """But it has to be shown to somebody who looks at it: what is refused before makes nobody known."""
    token = Account(Api(guarded.http)).token
    wait_for(guarded, 0)
    known = [member(guarded, token, path) for _ in range(SHARE)]
    assert [answer for _, answer in known] == [status] * SHARE
    with connect(guarded.http) as one_more:
        assert is_ended(one_more, within=1 if is_looked_at else 4) != is_looked_at
    for connection, _ in known:
        connection.close()
