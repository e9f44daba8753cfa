"""Who blocks, who may not be asked or found, who is gone and who has never been are alike in what the server does for
them, and not in its answer alone: the same statements, which lock and write the same number of rows. What takes the same
work takes the same time, and unlike time it can be counted.

Where a cell of authorization.csv says to several relations what it says to nobody, they are compared here.
"""

import re
from collections import Counter
from urllib.request import urlopen

import pytest
from doors import DOORS
from plans import Plans, explained, nodes
from server import Database, Server
from test_authorization import OF_USERS, RELATIONS, Scene, end, name
from wire import Account, Api, Socket

# What the server does by itself at times of its own, and the look at a device that it repeats after a second.
UPKEEP = ("auth.outbox", "auth.signing_keys", "auth.revoked_keys", "delete_after <= now()", "revoked_at < now()",
          "ORDER BY expires_at LIMIT", "INTO profile.last_seen", "'last_seen', NEW", "SELECT FROM auth.devices")
# For blocking an id, where the answer never says whether it is anybody's.
STRANGERS = {"stranger", "blocked_by", "deleted", "nobody"}
ROWS = [row for row in OF_USERS if row["nobody"]]


class Watched:
    """A server whose statements are counted, and a user of it who is gone."""

    def __init__(self, database, cache):
        self.database = database
        self.server = Server(explained(database)).start(RINGWAY_CACHE=cache, RINGWAY_MAINTENANCE_SECONDS="1")
        self.api = Api(self.server.http)
        self.repeats = 2 if cache == "memory" else 1

    def work(self, action):
        """What Postgres does for an action: how often each statement, with the rows that it locked and wrote. With a cache
        the action is done once before, which fills it."""
        for _ in range(self.repeats - 1):
            action()
        plans = Plans(self.database)
        answer = action()
        found = Counter()
        for statement, plan in plans.read():
            if statement == "SELECT 1" or any(text in statement for text in UPKEEP):
                continue
            changed = sum(node["Actual Rows"] * node["Actual Loops"] for node in nodes(plan)
                          if node["Node Type"] in ("LockRows", "ModifyTable"))
            found[statement, changed] += 1
        return answer, found


@pytest.fixture(scope="module", params=["off", "memory"])
def watched(postgres_url, request):
    database = Database(postgres_url)
    watched = Watched(database, request.param)
    try:
        watched.gone = end(watched.api, database)
        yield watched
    finally:
        watched.server.stop()
        database.drop()


def assert_alike(works):
    """All of them as the one of nobody."""
    (answer, work) = works["nobody"]
    for relation, (told, done) in works.items():
        assert told == answer, relation
        assert done == work, f"{relation}: {dict(done - work)} instead of {dict(work - done)}"


def relations_like_nobody(row):
    if row["nobody"] == "OK":
        return [relation for relation in RELATIONS if relation in STRANGERS]
    return [relation for relation in RELATIONS if row[relation] == row["nobody"]]


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_the_same_is_done_for_all_who_look_like_nobody(watched, row):
    works = {}
    for relation in relations_like_nobody(row):
        scene = Scene(watched.api, relation, watched.gone)
        # A caller who has lists already, whatever the relation has made of them.
        scene.me.ok("POST", "/v1/friend-groups", {"name": "x"})
        works[relation] = watched.work(
            lambda scene=scene: DOORS["http"](watched.server, scene.me.token, row, scene.fill, watched.api))
    if row["method"] == "ProfileService/GetProfiles":
        del works["stranger"]  # whom it shows
    assert_alike(works)
    assert sum(works["nobody"][1].values()) > 0 or watched.repeats == 2


class Hidden:
    """A user whom nobody may find, ask or write to."""

    def __init__(self, api):
        self.account = Account(api)
        nobody = {"kind": "NOBODY"}
        self.account.ok("PATCH", "/v1/settings", {"privacy": {"find": nobody, "add": nobody, "message": nobody}})


def targets(watched):
    """For each relation a caller of its own, who stands so to whoever has the id, and that user's name."""
    for relation in ("blocked_by", "deleted", "nobody"):
        scene = Scene(watched.api, relation, watched.gone)
        yield relation, scene.me, scene.target
    yield "hidden", Account(watched.api), Hidden(watched.api).account.user


def test_asking_who_is_hidden_is_like_asking_nobody(watched):
    works = {}
    for relation, me, target in targets(watched):
        works[relation] = watched.work(lambda me=me, target=target: me.call("POST", "/v1/friend-requests", {"to": target}))
        works[relation][0][1]["error"].pop("requestId")
    assert_alike(works)


def test_writing_to_who_is_hidden_is_like_writing_to_nobody(watched):
    """Each on a socket of its own, which remembers nothing yet."""
    works = {}
    for relation, me, target in targets(watched):
        with Socket(watched.server.ws, me.token, 0) as socket:
            assert socket.is_alive()

            def send(socket=socket, target=target):
                socket.message("m1", target, "hello")
                return socket.expect("error")

            works[relation] = watched.work(send)
    assert_alike(works)


def test_searching_who_is_hidden_is_like_searching_nobody(watched):
    names = {"blocked_by": None, "hidden": Hidden(watched.api).account.username, "deleted": watched.gone.username,
             "nobody": "nobodyhasthisname"}
    works = {}
    for relation, username in names.items():
        me = Account(watched.api)
        if relation == "blocked_by":
            blocker = Account(watched.api)
            blocker.ok("POST", "/v1/blocks", {"userId": me.user})
            username = blocker.username
        works[relation] = watched.work(lambda me=me, username=username: me.call("GET", f"/v1/profiles:search?query={username}"))
    assert_alike(works)


# More than a page holds.
CROWD = 150


def test_searching_a_crowd_of_the_hidden_is_like_searching_nobody(watched):
    """However many users match, and whether they are hidden by their settings or by blocks."""
    watched.database.sql(f"""
        INSERT INTO profile.profiles (user_id, username, nickname)
            SELECT n, 'crowdhidden' || n, 'Crowd' FROM generate_series(1, {CROWD}) AS n;
        INSERT INTO profile.privacy (user_id, field, audience) SELECT n, 1, 4 FROM generate_series(1, {CROWD}) AS n;
        INSERT INTO profile.settings (user_id, version, privacy_version, push_version, push)
            SELECT n, 1, 1, 1, '' FROM generate_series(1, {CROWD}) AS n;
        INSERT INTO profile.profiles (user_id, username, nickname)
            SELECT n, 'crowdblocks' || n, 'Crowd' FROM generate_series({CROWD + 1}, {2 * CROWD}) AS n""")
    me = Account(watched.api)
    watched.database.sql(f"""
        INSERT INTO friendship.blocks (user_id, peer_id)
            SELECT n, {me.user} FROM generate_series({CROWD + 1}, {2 * CROWD}) AS n""")
    works = {kind: watched.work(lambda query=query: me.call("GET", f"/v1/profiles:search?query={query}"))
             for kind, query in (("nobody", "nobodyhasthisname"), ("hidden", "crowdhidden"), ("blocked_by", "crowdblocks"),
                                 ("both", "crowd"))}
    assert_alike(works)


def hashes(server):
    """How many passwords the server has hashed."""
    text = urlopen(f"http://127.0.0.1:{server.ports['ops']}/metrics", timeout=5).read().decode()
    return int(re.search(r"^ringway_password_hashes_total (\d+)$", text, re.MULTILINE)[1])


def test_an_unknown_user_costs_what_a_wrong_password_costs(watched):
    """The same statements, and a hash for each try."""
    accounts = [Account(watched.api) for _ in range(5)]
    ended = watched.gone.username
    works, hashed = {}, {}
    for kind, names in (("nobody", [f"nobody{n}" for n in range(5)]), ("wrong password", [a.username for a in accounts]),
                        ("deleted", [ended] * 5)):
        before = hashes(watched.server)

        def log_in(names=names):
            answers = [watched.api.call("POST", "/v1/auth/login", {
                "username": username, "password": "not the password", "device": {"name": "x", "platform": "y"}})
                for username in names]
            for _, answer in answers:
                answer["error"].pop("requestId")
            return answers

        works[kind] = watched.work(log_in)
        hashed[kind] = hashes(watched.server) - before
    assert_alike(works)
    assert set(hashed.values()) == {5 * watched.repeats}, hashed
