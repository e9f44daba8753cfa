"""How Postgres runs what the server asks, on tables of some size: by index, and reading no more than an answer needs.

Nothing here repeats the server's statements. Postgres itself writes down the plan of each statement that the server
runs (auto_explain), with the rows that every step of it really read, those inside of functions too. So a new query is
looked at as soon as one of these calls runs it.
"""

import subprocess

import pytest
from plans import EXPLAIN_HERE, Plans, explained, nodes
from server import BINARY, ROOT, Database, Server, clean_environment
from wire import Account, Api, Socket

USERS = 20_000
FRIENDS, REQUESTS = 3000, 6000
# No step of a plan reads more rows. A page has at most 1,000, and a search looks at 2,000 nicknames.
ROWS_MAX = 2100
# What every installation has few of: a table of one page is read whole, and should be.
SMALL = {"signing_keys", "revoked_keys", "outbox"}
SCHEMAS = {"auth", "profile", "friendship", "inbox"}

# What a seeded database lacks, for all of its users: without it those tables would be too small for an index.
FILL = """
    INSERT INTO auth.devices (user_id, name, platform) SELECT id, 'd', 'linux' FROM auth.accounts;
    INSERT INTO auth.devices (user_id, name, platform, revoked_at)
        SELECT id, 'ended', 'linux', now() - interval '2 hours' FROM auth.accounts LIMIT 500;
    INSERT INTO auth.refresh_tokens (digest, user_id, device_id, expires_at)
        SELECT sha256(id::text::bytea), user_id, id, now() + interval '1 day' FROM auth.devices;
    INSERT INTO profile.last_seen (user_id, at) SELECT id, now() FROM auth.accounts;
    INSERT INTO profile.settings (user_id, version, privacy_version, push_version, push)
        SELECT id, 1, 1, 1, '' FROM auth.accounts;
    INSERT INTO profile.privacy (user_id, field, audience) SELECT id, 4, 1 FROM auth.accounts;
    INSERT INTO profile.avatars (user_id, hash, large, small) SELECT id, sha256(id::text::bytea), '', '' FROM auth.accounts;
    INSERT INTO friendship.groups (user_id, name, position) SELECT id, 'g', 0 FROM auth.accounts;
    INSERT INTO friendship.blocks (user_id, peer_id) SELECT id, 1 FROM auth.accounts;
    INSERT INTO inbox.events (user_id, seq, at, payload)
        SELECT id, n, now(), '' FROM auth.accounts, generate_series(1, 5) AS n;
    UPDATE inbox.heads SET seq = 5;
    INSERT INTO inbox.cursors (user_id, device_id, acked_seq) SELECT user_id, id, 5 FROM auth.devices;
    ANALYZE
"""


def rows_read(node):
    dropped = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return (node["Actual Rows"] + dropped) * node["Actual Loops"]


def faults(plan):
    """What a plan does that it must not do on a large table."""
    for node in nodes(plan):
        table = node.get("Relation Name", "")
        read = rows_read(node)
        if node["Node Type"] == "Seq Scan" and node.get("Schema") in SCHEMAS and table not in SMALL:
            yield f"a sequential scan of {table}"
        elif read > ROWS_MAX:
            yield f"{node['Node Type']} {table} reads {read} rows"


@pytest.fixture(scope="module")
def database(postgres_url):
    database = Database(postgres_url)
    try:
        subprocess.run(
            [BINARY, "seed", "--users", str(USERS), "--friends", "4", "--requests", "2", "--most-friends", str(FRIENDS),
             "--most-requests", str(REQUESTS)],
            cwd=ROOT, env=clean_environment(RINGWAY_POSTGRES_URL=database.url), capture_output=True, timeout=120, check=True)
        database.sql(FILL)
        yield database
    finally:
        database.drop()


class Seeded(Account):
    """A seeded user, logged in."""

    def __init__(self, api, number):
        self.api = api
        body = {"username": f"seed{number:07}", "password": "seeded password", "device": {"name": "x", "platform": "linux"}}
        self._take(api.ok("POST", "/v1/auth/login", body))


def use_everything(server):
    """Each kind of call, by the user with very many of everything, and by others towards that user."""
    api = Api(server.http)
    first, other = Seeded(api, 0), Seeded(api, USERS // 2 + 5)
    me, they = first.token, other.token
    newcomer = Account(api)

    def get(path, token=me):
        return api.ok("GET", path, token=token)

    def post(path, body=None, token=me):
        return api.ok("POST", path, body or {}, token=token)

    for _ in range(7):
        # Postgres plans a prepared statement for its parameters five times, then once for all.
        for path in ("/v1/profiles/me", "/v1/settings", "/v1/friend-groups", "/v1/blocks", "/v1/devices", "/v1/account"):
            get(path)
        friends = get("/v1/friends?limit=1000")
        get(f"/v1/friends?limit=200&after={friends['nextAfter']}")
        requests = get("/v1/friend-requests?limit=200")
        get(f"/v1/friend-requests?limit=200&before={requests['nextBefore']}")
        get("/v1/relation-changes?limit=1000")
        get("/v1/relation-changes?limit=200&since=2500")
        get("/v1/inbox?since=0&limit=500")
        ids = [friend["userId"] for friend in friends["friends"][:100]]
        get("/v1/profiles?ids=" + ",".join(ids))
        get(f"/v1/profiles/{ids[0]}", they)
        get("/v1/profiles:search?query=seed00000&limit=20")
        get("/v1/profiles:search?query=seed0", they)
        get("/v1/profiles:search?query=seed0015555", they)
        get("/v1/profiles:search?query=0015555", they)
    for n in range(7):
        api.ok("PATCH", "/v1/profiles/me", {"signature": f"s{n}"}, me)
        api.ok("PATCH", "/v1/settings", {"privacy": {"find": {"kind": "FRIENDS" if n % 2 else "EVERYONE"}}}, me)
        post("/v1/friend-requests", {"to": first.user, "message": "hello"}, newcomer.token)
        asked = next(r for r in get("/v1/friend-requests?limit=10")["requests"] if r["from"] == newcomer.user)
        post(f"/v1/friend-requests/{asked['id']}:accept")
        api.ok("PATCH", f"/v1/friends/{newcomer.user}", {"remark": f"r{n}"}, me)
        api.ok("DELETE", f"/v1/friends/{newcomer.user}", token=me)
        post("/v1/blocks", {"userId": newcomer.user})
        api.ok("DELETE", f"/v1/blocks/{newcomer.user}", token=me)
        newcomer._take(post("/v1/auth/refresh", {"refreshToken": newcomer.refresh}, None))
        device = Seeded(api, 0)
        api.ok("DELETE", f"/v1/devices/{device.device}", token=me)
    friend = get("/v1/friends?limit=1", they)["friends"][0]["userId"]
    socket = Socket(server.ws, they, 0)
    for n in range(7):
        socket.message(f"m{n}", friend, "hello")
        socket.expect("sent")
    socket.close()


def test_everything_is_read_by_index(database):
    plans = Plans(database)
    server = Server(explained(database)).start(RINGWAY_CACHE="off")
    try:
        use_everything(server)
        server.stop()
    finally:
        if server.is_running():
            server.kill()
    seen = plans.read()
    for table in ("profile.profiles", "profile.settings", "profile.privacy", "friendship.friends", "friendship.requests",
                  "friendship.owners", "friendship.changes", "friendship.groups", "friendship.blocks", "auth.devices",
                  "auth.accounts", "auth.refresh_tokens", "inbox.heads", "inbox.events", "inbox.cursors"):
        assert any(table in statement for statement, _ in seen), f"no plan for {table} among {len(seen)}"
    found = {(fault, statement) for statement, plan in seen for fault in faults(plan)}
    assert not found, "\n\n".join(f"{fault}:\n{statement}" for fault, statement in sorted(found))


def test_a_search_for_what_very_many_are_called_reads_few_of_them(database):
    """A quarter of all users, in one place of the table: no more of their rows are read than are looked at."""
    database.sql("UPDATE profile.profiles SET nickname = 'Wandering Albatross' WHERE user_id >="
                 " (SELECT id FROM auth.accounts WHERE username = 'seed0015000')")
    database.sql("VACUUM ANALYZE profile.profiles")
    plans = Plans(database)
    server = Server(explained(database)).start(RINGWAY_CACHE="off")
    try:
        me = Seeded(Api(server.http), 0)
        for _ in range(7):
            me.ok("GET", "/v1/profiles:search?query=albatross")
        server.stop()
    finally:
        if server.is_running():
            server.kill()
    searches = [plan for statement, plan in plans.read() if "lower(nickname)" in statement]
    assert len(searches) == 7
    for plan in searches:
        reads = [node for node in nodes(plan) if node.get("Relation Name") == "profiles"]
        assert [node["Node Type"] for node in reads] == ["Bitmap Heap Scan"]
        assert sum(rows_read(node) for node in reads) <= ROWS_MAX


@pytest.mark.parametrize("statement", [
    "SELECT nickname FROM profile.profiles WHERE signature = 'nobody has this'",
    "SELECT friend_id FROM friendship.friends ORDER BY since LIMIT 10",
    "SELECT count(*) FROM friendship.requests WHERE recipient ="
    " (SELECT id FROM auth.accounts WHERE username = 'seed0000000')",
])
def test_a_statement_that_reads_too_much_is_found(database, statement):
    plans = Plans(database)
    database.sql(f"LOAD 'auto_explain'; {EXPLAIN_HERE}; {statement}")
    assert [fault for text, plan in plans.read() if statement in text for fault in faults(plan)]
