"""An account's life as HTTP shows it: its own data, signing keys that change while it is logged in, limits, its end, and
an end that is killed at every step."""

import base64
import http.client
import io
import json
import secrets
import subprocess
import time

import pytest
from PIL import Image
from server import BINARY, ROOT, clean_environment, own_server_of
from wire import PASSWORD, Account, Api, Socket, assert_gap_free

DEVICE = {"name": "phone", "platform": "ios"}


@pytest.fixture
def hasty(postgres_url):
    """A server without a grace period, and its database. The test starts it, and may kill it."""
    with own_server_of(postgres_url) as server:
        yield server, server.database


def start(server, **variables):
    return server.start(
        RINGWAY_DELETION_GRACE_HOURS="0", RINGWAY_MAINTENANCE_SECONDS="1", **variables)


def wait_until(holds, timeout=60):
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def test_export_holds_what_every_service_keeps(friends, connect):
    alice, bob = friends
    alice.ok("POST", "/v1/account/email", {"password": PASSWORD, "email": f"{alice.username}@example.org"})
    group = alice.ok("POST", "/v1/friend-groups", {"name": "work"})
    alice.ok("PATCH", f"/v1/friends/{bob.user}", {"groupId": group["id"], "remark": "b"})
    carol, dave = Account(alice.api), Account(alice.api)
    alice.ok("POST", "/v1/friend-requests", {"to": carol.user})
    alice.ok("POST", "/v1/blocks", {"userId": dave.user})
    alice.ok("PATCH", "/v1/settings", {"push": {"previews": False}, "privacy": {"find": {"kind": "NOBODY"}}})
    socket = connect(alice)
    socket.send({"ack": {"seq": "1"}})
    assert socket.is_alive()
    wait_until(lambda: "cursors" in alice.ok("GET", "/v1/account/export"))
    export = alice.ok("GET", "/v1/account/export")
    assert export["account"]["email"] == f"{alice.username}@example.org"
    assert [device["id"] for device in export["devices"]] == [alice.device]
    assert export["profile"]["userId"] == alice.user
    assert [(one["userId"], one["groupId"], one["remark"]) for one in export["friends"]] == [(bob.user, group["id"], "b")]
    assert export["friendGroups"] == [group]
    assert [request["to"] for request in export["friendRequests"]] == [carol.user]
    assert [block["userId"] for block in export["blocks"]] == [dave.user]
    assert export["settings"] == alice.ok("GET", "/v1/settings")
    assert export["cursors"] == [{"deviceId": alice.device, "ackedSeq": "1"}]
    assert export["events"] == alice.log()
    assert "nextSince" not in export


@pytest.mark.parametrize(("body", "field"), [
    ({"username": "ad\u200ba"}, "username"), ({"username": "\u0430da"}, "username"), ({"password": "password1"}, "password"),
    ({"email": "nobody"}, "email"), ({"device": {"name": "", "platform": "x"}}, "device.name"),
])
def test_refusals_name_the_field(api, body, field):
    good = {"username": "somebody", "password": PASSWORD, "device": DEVICE}
    status, answer = api.call("POST", "/v1/auth/register", good | body)
    assert (status, answer["error"]["field"]) == (400, field)


def test_keys_rotate_without_a_refused_token(hasty):
    server, database = hasty
    start(server)
    api = Api(server.http)
    alice = Account(api)
    (old,) = api.ok("GET", "/.well-known/jwks.json")["keys"]
    assert set(old) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    rotated = subprocess.run(
        [BINARY, "keys", "rotate", "--delay", "60"], cwd=ROOT, env=clean_environment(RINGWAY_POSTGRES_URL=database.url),
        capture_output=True, text=True, timeout=30, check=True)
    new = rotated.stdout.split()[1].rstrip(";")
    wait_until(lambda: [key["kid"] for key in api.ok("GET", "/.well-known/jwks.json")["keys"]] == [new, old["kid"]])
    alice.ok("GET", "/v1/account")
    database.sql("UPDATE auth.signing_keys SET signs_from = signs_from - interval '1 minute'")

    def signer(account):
        header = account.token.split(".")[0]
        return json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]

    wait_until(lambda: signer(Account(api)) == new)
    for account in (alice, Account(api)):
        account.ok("GET", "/v1/account")


def test_an_address_is_limited_and_told_when_to_come_back(hasty):
    server, _ = hasty
    start(server, RINGWAY_LIMIT_ADDRESS="3/600")

    def refresh(source):
        connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=10, source_address=(source, 0))
        body = json.dumps({"refreshToken": "A" * 43})
        # What a client says of its address is not believed.
        headers = {"Content-Type": "application/json", "ringway-peer": "127.0.0.1", "X-Forwarded-For": "127.0.0.1"}
        connection.request("POST", "/v1/auth/refresh", body, headers)
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status, response.headers["Retry-After"]

    assert [refresh("127.0.0.2")[0] for _ in range(4)] == [401, 401, 401, 429]
    assert 1 <= int(refresh("127.0.0.2")[1]) <= 200
    assert refresh("127.0.0.3")[0] == 401


# Each table that the end of an account touches, in the order of the steps, and the services that own them.
STEPS = ["auth.devices", "auth.accounts", "profile.profiles", "friendship.friends", "inbox.heads", "auth.outbox"]


def linger_in(step, database, seconds):
    """From now on the step takes so long that something can be done inside it."""
    database.sql(f"""
        CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep({seconds}); RETURN OLD; END $$""")
    database.sql(f"CREATE TRIGGER linger BEFORE DELETE ON {step} FOR EACH ROW EXECUTE FUNCTION linger()")


def in_a_step(database):
    return f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database.name}' AND wait_event = 'PgSleep'"


def remains_of(user):
    return f"""
        SELECT (SELECT count(*) FROM auth.accounts WHERE id = {user})
             + (SELECT count(*) FROM auth.devices WHERE user_id = {user})
             + (SELECT count(*) FROM profile.profiles WHERE user_id = {user})
             + (SELECT count(*) FROM friendship.friends WHERE {user} IN (user_id, friend_id))
             + (SELECT count(*) FROM inbox.heads WHERE user_id = {user})
             + (SELECT count(*) FROM inbox.events WHERE user_id = {user})
             + (SELECT count(*) FROM auth.outbox)"""


def columns_that_hold(database, user):
    """Every column of every service's tables in which the user's id stands, found from the catalogue: a table that is
    made tomorrow is looked at, too."""
    columns = database.sql("""
        SELECT n.nspname || '.' || c.relname || '.' || a.attname FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('auth', 'profile', 'friendship', 'inbox') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND a.atttypid = 'bigint'::regtype AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1""").split()
    counts = ", ".join(
        f"(SELECT count(*) FROM {column.rpartition('.')[0]} WHERE {column.rpartition('.')[2]} = {user})" for column in columns)
    found = database.sql(f"SELECT concat_ws(' ', {counts})").split()
    return {column for column, count in zip(columns, found, strict=True) if count != "0"}


def test_the_end_of_an_account_leaves_nothing_of_it(hasty):
    server, database = hasty
    start(server)
    api = Api(server.http)
    alice, bob, carol, dave, eve = (Account(api) for _ in range(5))
    alice.befriend(bob)
    group = alice.ok("POST", "/v1/friend-groups", {"name": "work"})["id"]
    alice.ok("PATCH", f"/v1/friends/{bob.user}", {"groupId": group, "remark": "b"})
    alice.ok("POST", "/v1/friend-requests", {"to": carol.user})
    dave.ok("POST", "/v1/friend-requests", {"to": alice.user})
    alice.ok("POST", "/v1/blocks", {"userId": eve.user})
    eve.ok("POST", "/v1/blocks", {"userId": alice.user})
    alice.ok("PATCH", "/v1/settings", {"privacy": {"find": {"kind": "GROUP", "groupId": group}}, "push": {"previews": False}})
    pixels = io.BytesIO()
    Image.new("RGB", (64, 64), tuple(secrets.token_bytes(3))).save(pixels, "PNG")
    headers = {"Content-Type": "image/png", "Authorization": f"Bearer {alice.token}"}
    avatar = json.loads(api.raw("PUT", "/v1/profiles/me/avatar", pixels.getvalue(), headers)[2])["avatar"]
    with Socket(server.ws, alice.token) as socket:
        socket.message("m1", bob.user, "hello")
        socket.send({"ack": {"seq": socket.expect("sent")["seq"]}})
        assert socket.is_alive()
    wait_until(lambda: {"profile.last_seen.user_id", "inbox.cursors.user_id"} <= columns_that_hold(database, alice.user))
    everywhere = columns_that_hold(database, alice.user)
    assert {
        "auth.refresh_tokens.user_id", "friendship.blocks.user_id", "friendship.groups.user_id", "friendship.owners.user_id",
        "friendship.requests.sender", "friendship.requests.recipient", "profile.avatars.user_id", "profile.privacy.user_id",
        "profile.settings.user_id", "inbox.events.user_id",
    } <= everywhere

    alice.ok("POST", "/v1/account:delete", {"password": PASSWORD})
    # What others keep is theirs: that they have blocked the id, and that a friend is none any more.
    theirs = {"friendship.blocks.peer_id", "friendship.changes.peer_id"}
    wait_until(lambda: columns_that_hold(database, alice.user) == theirs)
    assert api.raw("GET", f"/v1/avatars/{avatar}")[0] == 404
    for other in (carol, dave):
        assert other.ok("GET", "/v1/friend-requests").get("requests", []) == []
    changes = bob.ok("GET", "/v1/relation-changes")
    assert (changes["removedFriendIds"], changes.get("friends", [])) == ([alice.user], [])


@pytest.mark.parametrize("step", STEPS)
def test_a_request_to_somebody_who_is_just_ending_leaves_nothing(step, hasty):
    """Nobody waits for the answer of a user who is gone, in whatever step of the end they asked."""
    server, database = hasty
    start(server)
    api = Api(server.http)
    alice, bob, dave = Account(api), Account(api), Account(api)
    alice.befriend(bob)
    linger_in(step, database, seconds=4)
    alice.ok("POST", "/v1/account:delete", {"password": PASSWORD})
    wait_until(lambda: database.sql(in_a_step(database)) != "0")
    status, _ = api.call("POST", "/v1/friend-requests", {"to": alice.user}, dave.token)
    assert status in (200, 404)
    wait_until(lambda: database.sql(remains_of(alice.user)) == "0")
    assert columns_that_hold(database, alice.user) <= {"friendship.changes.peer_id"}
    assert dave.ok("GET", "/v1/friend-requests").get("requests", []) == []
    assert database.sql(f"SELECT sent FROM friendship.owners WHERE user_id = {dave.user} AND sent > 0") == ""


@pytest.mark.parametrize("step", STEPS)
def test_an_end_that_is_killed_in_any_step_is_neither_lost_nor_doubled(step, hasty):
    server, database = hasty
    start(server)
    api = Api(server.http)
    alice, bob, carol = Account(api), Account(api), Account(api)
    alice.befriend(bob)
    carol.befriend(alice)
    linger_in(step, database, seconds=4)
    alice.ok("POST", "/v1/account:delete", {"password": PASSWORD})
    wait_until(lambda: database.sql(in_a_step(database)) != "0")
    server.kill()
    wait_until(lambda: database.sql(in_a_step(database)) == "0")
    database.sql(f"DROP TRIGGER linger ON {step}")

    start(server)
    wait_until(lambda: database.sql(remains_of(alice.user)) == "0")
    for friend in (bob, carol):
        log = friend.log()
        assert_gap_free(log)
        removed = [event for event in log if event.get("friend", {}).get("change") == "REMOVED"]
        assert [event["friend"]["userId"] for event in removed] == [alice.user]
        assert friend.ok("GET", "/v1/friends").get("friends", []) == []
