"""JSON that is no JSON, numbers that are no numbers, texts that are meant to deceive, pages without measure: at each door
a documented error, and nothing has changed."""

import json

import pytest
from doors import DOORS
from hostile import http, socket_json, witness
from wire import PASSWORD, Account, Closed, Socket

ASK = "FriendshipService/RequestFriend"
DEEP = 100_000


def nested(depth):
    return '{"a":' * depth + "1" + "}" * depth


# Of a request whose one field, `to`, is a 64-bit integer.
BODIES = {
    "a key twice": '{"to":"1","to":"2"}',
    "a key twice, one of them escaped": '{"to":"1","t\\u006f":"2"}',
    "a field by both of its names": '{"friend_id":"1","friendId":"2","to":"1"}',
    "a key twice inside of what is ignored": '{"to":"1","later":{"a":1,"a":2}}',
    "NaN": '{"to":NaN}',
    "NaN as a string": '{"to":"NaN"}',
    "Infinity": '{"to":-Infinity}',
    "1e999": '{"to":1e999}',
    "-1e999": '{"to":-1e999}',
    "1e999 as a string": '{"to":"1e999"}',
    "a fraction": '{"to":1.5}',
    "2^63": '{"to":9223372036854775808}',
    "2^63 as a string": '{"to":"9223372036854775808"}',
    "-2^63 - 1": '{"to":-9223372036854775809}',
    "2^64 as a string": '{"to":"18446744073709551616"}',
    "hexadecimal": '{"to":"0x10"}',
    "octal": '{"to":"010x"}',
    "a list": '{"to":[1]}',
    "an object": '{"to":{"to":1}}',
    "true": '{"to":true}',
    "half a pair of surrogates": '{"to":"1","message":"\\ud800"}',
    "6,000 deep": nested(6_000),
}


@pytest.mark.parametrize("name", BODIES)
def test_json_that_says_no_request(server, alice, name):
    with witness(server):
        assert http(server, alice.token, "POST", "/v1/friend-requests", BODIES[name])[:2] == (400, "INVALID_ARGUMENT")
        try:
            assert socket_json(server, alice.token, ASK, BODIES[name])[0] == "INVALID_ARGUMENT"
        except Closed as closed:
            # Then the frame around it was no frame.
            assert closed.code == 4500


def test_json_100_000_deep(server, alice):
    with witness(server):
        for text in ("[" * DEEP, nested(DEEP)):
            # Larger than any body, and than any frame.
            assert http(server, alice.token, "POST", "/v1/friend-requests", text)[:2] == (413, "RESOURCE_EXHAUSTED")
            with pytest.raises(Closed) as closed:
                socket_json(server, alice.token, ASK, text)
            assert closed.value.code == 1009
        # As deep as fits.
        for text in ("[" * 65_000, nested(10_000)):
            assert http(server, alice.token, "POST", "/v1/friend-requests", text)[:2] == (400, "INVALID_ARGUMENT")
            with pytest.raises(Closed) as closed:
                socket_json(server, alice.token, ASK, text[:65_000])
            assert closed.value.code == 4500


def test_keys_twice_in_a_frame(server, alice):
    for frame in ('{"ping":{},"ping":{}}', '{"send":{"clientId":"a","clientId":"b","to":"1","body":{"text":"x"}}}'):
        with Socket(server.ws, alice.token) as socket:
            socket.raw(frame)
            assert socket.expect_close() == 4500


BEYOND = 2**53 + 1


def test_ids_beyond_2_to_53_are_themselves_or_refused(server, alice):
    """Never another id: as a string everywhere, as a number where numbers are read as they are written."""
    row = {"method": "ProfileService/GetProfile", "http": f"GET /v1/profiles/{BEYOND}", "body": f'{{"userId":"{BEYOND}"}}'}
    with witness(server):
        for door in DOORS.values():
            assert door(server, alice.token, row, str, alice.api) == ("NOT_FOUND", "no such user")
        body = f'{{"to":{BEYOND}}}'
        assert http(server, alice.token, "POST", "/v1/friend-requests", body)[1] == "NOT_FOUND"
        # A call's `json` holds numbers as JavaScript does, so this one has become another already.
        code, message = socket_json(server, alice.token, ASK, body)
        assert code == "INVALID_ARGUMENT" and "2^53" in message


def test_a_number_beyond_2_to_53_in_a_frame_is_itself(friends, connect):
    alice, bob = friends
    assert int(bob.user) > 2**53
    socket = connect(alice)
    socket.raw('{"send":{"clientId":"m1","to":%s,"body":{"text":"hi"}}}' % bob.user)
    socket.expect("sent")
    assert [event["message"]["to"] for event in alice.log() if "message" in event] == [bob.user]


# What a text must not hold, whoever shows it.
TEXTS = {
    "bidi override": "evil\u202egnp.exe",
    "bidi isolate": "a\u2066b",
    "NUL": "a\0b",
    "line break": "a\nb",
    "paragraph separator": "a\u2029b",
    "escape": "a\x1b[2Jb",
    "10,000 combining marks": "a" + "\u0301" * 10_000,
    "a stack of marks": "Z" + "\u0335" * 12,
}


def texts(account, friend, group, text):
    """Every field in which a user writes what another may read, with a text."""
    def row(method, http, **body):
        return {"method": method, "http": http, "body": json.dumps(body)}

    device = account.device
    return [
        row("ProfileService/UpdateMyProfile", "PATCH /v1/profiles/me", nickname=text),
        row("ProfileService/UpdateMyProfile", "PATCH /v1/profiles/me", signature=text),
        row("ProfileService/UpdateMyProfile", "PATCH /v1/profiles/me", region=text),
        row("ProfileService/UpdateMyProfile", "PATCH /v1/profiles/me", birthday=text),
        row("ProfileService/UpdateMyProfile", "PATCH /v1/profiles/me", custom={"a": text}),
        row("ProfileService/UpdateMyProfile", "PATCH /v1/profiles/me", custom={text: "a"}),
        row("SettingsService/UpdateSettings", "PATCH /v1/settings", push={
            "quietHours": {"start": "22:00", "end": "07:00", "timeZone": text}}),
        row("FriendshipService/RequestFriend", "POST /v1/friend-requests", to=friend.user, message=text),
        row("FriendshipService/CreateFriendGroup", "POST /v1/friend-groups", name=text),
        row("FriendshipService/RenameFriendGroup", f"PATCH /v1/friend-groups/{group}", id=group, name=text),
        row("FriendshipService/UpdateFriend", f"PATCH /v1/friends/{friend.user}", userId=friend.user, remark=text),
        row("AuthService/RenameDevice", f"PATCH /v1/devices/{device}", deviceId=device, name=text),
        row("AuthService/ChangeEmail", "POST /v1/account/email", password=PASSWORD, email=f"{text}@example.org"),
    ]


@pytest.mark.parametrize("name", TEXTS)
def test_text_that_deceives_is_refused_at_every_door(server, friends, name):
    alice, bob = friends
    group = alice.ok("POST", "/v1/friend-groups", {"name": "work"})["id"]
    with witness(server):
        for row in texts(alice, bob, group, TEXTS[name]):
            for door, go in DOORS.items():
                code, message = go(server, alice.token, row, str, alice.api)
                assert code == "INVALID_ARGUMENT", (row["method"], door, message)
                assert TEXTS[name] not in message


@pytest.mark.parametrize("name", TEXTS)
def test_text_that_deceives_is_refused_by_who_registers(server, api, name):
    good = {"username": "somebody", "password": PASSWORD, "device": {"name": "x", "platform": "y"}}
    with witness(server):
        for bad in ({"username": TEXTS[name]}, {"email": TEXTS[name]}, {"device": {"name": TEXTS[name], "platform": "y"}},
                    {"device": {"name": "x", "platform": TEXTS[name]}}):
            row = {"method": "AuthService/Register", "http": "POST /v1/auth/register", "body": json.dumps(good | bad)}
            for door in ("http", "grpc"):
                assert DOORS[door](server, None, row, str, api)[0] == "INVALID_ARGUMENT"


def test_names_that_normalise_to_anothers(server, api, alice):
    """Folded to the same name, or refused: never a second account that reads alike."""
    name = alice.username
    folded = [name.upper(), "".join(chr(ord(letter) + 0xFEE0) for letter in name)]
    lookalikes = [name.replace("u", "\u1d58", 1), "\u24e4" + name[1:], "\U0001d4ca" + name[1:], name + "\u200b", name + "\u0301",
                  "\ufeff" + name, "u\u00ad" + name[1:]]
    device = {"name": "x", "platform": "y"}
    with witness(server):
        for username, expected in [(n, "ALREADY_EXISTS") for n in folded] + [(n, "INVALID_ARGUMENT") for n in lookalikes]:
            body = {"username": username, "password": PASSWORD, "device": device}
            row = {"method": "AuthService/Register", "http": "POST /v1/auth/register", "body": json.dumps(body)}
            for door in ("http", "grpc"):
                assert DOORS[door](server, None, row, str, api)[0] == expected, ascii(username)


# Every method that takes a limit, the path at which it does, and what else it takes.
PAGES = [
    ("FriendshipService/ListFriends", "/v1/friends?", {}),
    ("FriendshipService/ListFriendRequests", "/v1/friend-requests?", {}),
    ("FriendshipService/ListBlocks", "/v1/blocks?", {}),
    ("FriendshipService/ListRelationChanges", "/v1/relation-changes?", {}),
    ("ProfileService/SearchProfiles", "/v1/profiles:search?query=abc&", {"query": "abc"}),
    ("InboxService/ReadInbox", "/v1/inbox?", {}),
]


@pytest.mark.parametrize(("method", "path", "rest"), PAGES, ids=[page[0] for page in PAGES])
@pytest.mark.parametrize("limit", [-1, 10**9, -(2**31)])
def test_limit_out_of_range(server, alice, method, path, rest, limit):
    row = {"method": method, "http": f"GET {path}limit={limit}", "body": json.dumps(rest | {"limit": limit})}
    with witness(server):
        for door in DOORS.values():
            code, message = door(server, alice.token, row, str, alice.api)
            assert code == "INVALID_ARGUMENT" and "limit" in message


def test_batch_and_lists_beyond_their_bounds(server, alice):
    ids = [str(number) for number in range(1, 102)]
    rows = [
        {"method": "ProfileService/GetProfiles", "http": "GET /v1/profiles?ids=" + ",".join(ids),
         "body": json.dumps({"userIds": ids})},
        {"method": "FriendshipService/ReorderFriendGroups", "http": "POST /v1/friend-groups:reorder",
         "body": json.dumps({"ids": ids})},
        {"method": "ProfileService/UpdateMyProfile", "http": "PATCH /v1/profiles/me",
         "body": json.dumps({"custom": {f"k{number}": "x" for number in range(1000)}})},
    ]
    with witness(server):
        for row in rows:
            for door in DOORS.values():
                assert door(server, alice.token, row, str, alice.api)[0] == "INVALID_ARGUMENT", row["method"]
