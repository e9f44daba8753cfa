"""What of a profile is shown to whom, in the answers themselves: at each door, by its id, among several and by a search.

authorization.csv holds which of these calls succeed; here is what they tell when they do."""

import json
import secrets
import time

import pytest
from doors import ASK
from pictures import picture
from test_authorization import NOBODY, end
from wire import Account, Api, Socket

GUARDED = {"presence": "status", "lastSeen": "lastSeen", "avatar": "avatar"}


class Door:
    """One door, as a viewer uses it."""

    def __init__(self, name, server, viewer):
        self._ask = lambda row: ASK[name](server, viewer.token, row, str, viewer.api)

    def one(self, user):
        return self._ask({"method": "ProfileService/GetProfile", "http": f"GET /v1/profiles/{user}",
                          "body": json.dumps({"userId": user})})

    def several(self, *users):
        return self._ask({"method": "ProfileService/GetProfiles", "http": f"GET /v1/profiles?ids={','.join(users)}",
                          "body": json.dumps({"userIds": users})})

    def search(self, query, limit=20, cursor=""):
        return self._ask({
            "method": "ProfileService/SearchProfiles",
            "http": f"GET /v1/profiles:search?query={query}&limit={limit}" + (f"&cursor={cursor}" if cursor else ""),
            "body": json.dumps({"query": query, "limit": limit, "cursor": cursor})})


def ids(answer):
    return [profile["userId"] for profile in answer.get("profiles", [])]


# MARK: For whom there is none

def befriended_blocker(me):
    """Somebody who was a friend and blocks now."""
    other = Account(me.api)
    other.befriend(me)
    other.ok("POST", "/v1/blocks", {"userId": me.user})
    return other


def blocked_blocker(me):
    """Each of the two blocks the other."""
    other = Account(me.api)
    me.ok("POST", "/v1/blocks", {"userId": other.user})
    other.ok("POST", "/v1/blocks", {"userId": me.user})
    return other


@pytest.fixture(scope="module")
def gone(shared_server):
    return end(Api(shared_server.http), shared_server.database)


@pytest.fixture
def absent(api, alice, gone):
    """The id and the name of each who is nobody to Alice, and of nobody."""
    blocker = Account(api)
    blocker.ok("POST", "/v1/blocks", {"userId": alice.user})
    friend, foe = befriended_blocker(alice), blocked_blocker(alice)
    return {
        "nobody": (NOBODY, "nobodyhasthisname"),
        "nobody ever": ("7", "nobodyhasthisnameeither"),
        "blocks": (blocker.user, blocker.username),
        "was a friend and blocks": (friend.user, friend.username),
        "blocks and is blocked": (foe.user, foe.username),
        "gone": (gone.user, gone.username),
    }


@pytest.mark.parametrize("door", ASK)
def test_who_blocks_who_is_gone_and_nobody_are_absent_in_the_same_way(server, alice, absent, door):
    door = Door(door, server, alice)
    told = {kind: (door.one(user), door.several(user), door.several(user, user), door.search(name))
            for kind, (user, name) in absent.items()}
    assert told["nobody"][0]["error"]["code"] == "NOT_FOUND"
    assert [ids(answer) for answer in told["nobody"][1:]] == [[], [], []]
    for kind, answers in told.items():
        assert answers == told["nobody"], kind


@pytest.mark.parametrize("door", ASK)
def test_among_several_the_absent_leave_no_trace(server, api, alice, absent, door):
    door = Door(door, server, alice)
    there = sorted([Account(api).user, Account(api).user], key=int)
    expected = door.several(*there)
    assert ids(expected) == there
    users = [user for user, _ in absent.values()]
    assert door.several(*users, *there) == expected
    assert door.several(there[1], *users, there[0]) == expected
    for kind, (user, _) in absent.items():
        assert door.several(there[0], user, there[1]) == expected, kind


@pytest.mark.parametrize("door", ASK)
def test_a_block_is_seen_by_the_next_call_and_taken_back_by_the_one_after(server, api, alice, door):
    """Also where an answer of before is in a cache."""
    bob = Account(api)
    door = Door(door, server, alice)
    before = door.one(bob.user)
    assert (before["userId"], ids(door.several(bob.user))) == (bob.user, [bob.user])
    bob.ok("POST", "/v1/blocks", {"userId": alice.user})
    assert "error" in door.one(bob.user)
    assert ids(door.several(bob.user, alice.user)) == [alice.user] and ids(door.search(bob.username)) == []
    bob.ok("DELETE", f"/v1/blocks/{alice.user}")
    assert door.one(bob.user) == before
    assert door.search(bob.username)["profiles"] == [before]


@pytest.mark.parametrize("door", ASK)
def test_pages_of_a_search_hold_no_place_for_who_is_not_shown(server, api, alice, door):
    """Of nine by turns one is hidden, one blocks, one is shown: three pages of one, as if the others were not."""
    prefix = "p" + secrets.token_hex(6)
    users = [Account(api, f"{prefix}{n}") for n in range(9)]
    for n, user in enumerate(users):
        if n % 3 == 0:
            user.ok("PATCH", "/v1/settings", {"privacy": {"find": {"kind": "NOBODY"}}})
        elif n % 3 == 1:
            user.ok("POST", "/v1/blocks", {"userId": alice.user})
    door = Door(door, server, alice)
    pages = [door.search(prefix, limit=1)]
    while cursor := pages[-1].get("nextCursor"):
        pages.append(door.search(prefix, limit=1, cursor=cursor))
    assert [ids(page) for page in pages] == [[users[n].user] for n in (2, 5, 8)]


# MARK: What is hidden of who is there

class Shown:
    """A user of whom everything can be seen, and viewers who stand to that user in each way."""

    def __init__(self, server):
        api = Api(server.http)
        self.owner = Account(api)
        relations = ("colleague", "friend", "asked", "asking", "stranger", "blocking", "blocked_by")
        me = self.viewers = {relation: Account(api) for relation in relations}
        self.owner.befriend(me["friend"])
        self.owner.befriend(me["colleague"])
        self.group = self.owner.ok("POST", "/v1/friend-groups", {"name": "work"})["id"]
        self.owner.ok("PATCH", f"/v1/friends/{me['colleague'].user}", {"groupId": self.group})
        me["asked"].ok("POST", "/v1/friend-requests", {"to": self.owner.user})
        self.owner.ok("POST", "/v1/friend-requests", {"to": me["asking"].user})
        me["blocking"].ok("POST", "/v1/blocks", {"userId": self.owner.user})
        self.owner.ok("POST", "/v1/blocks", {"userId": me["blocked_by"].user})
        self._fill(server)

    def _fill(self, server):
        """Each field of a profile holds something."""
        self.owner.ok("PATCH", "/v1/profiles/me", {
            "nickname": "Ada", "signature": "hello", "region": "here", "birthday": "2001-02-03", "custom": {"pet": "cat"},
            "status": "BUSY"})
        headers = {"Authorization": f"Bearer {self.owner.token}", "Content-Type": "image/png"}
        assert self.owner.api.raw("PUT", "/v1/profiles/me/avatar", picture(), headers)[0] == 200
        Socket(server.ws, self.owner.token, 0).close()
        deadline = time.monotonic() + 10
        while "lastSeen" not in self.whole():
            assert time.monotonic() < deadline, "the end of a session is not noted"
            time.sleep(0.02)

    def whole(self):
        return self.owner.ok("GET", "/v1/profiles/me")

    def choose(self, audiences):
        """An audience each of presence, lastSeen and avatar, and of find."""
        privacy = {field: {"kind": kind} | ({"groupId": self.group} if kind == "GROUP" else {})
                   for field, kind in audiences.items()}
        self.owner.ok("PATCH", "/v1/settings", {"privacy": privacy})


@pytest.fixture(scope="module")
def shown(shared_server):
    return Shown(shared_server)


MEANT = {
    "EVERYONE": {"colleague", "friend", "asked", "asking", "stranger"},
    "FRIENDS": {"colleague", "friend"},
    "GROUP": {"colleague"},
    "NOBODY": set(),
}
# As they stand before anyone has chosen.
USUAL = {"presence": "FRIENDS", "lastSeen": "FRIENDS", "avatar": "EVERYONE", "find": "EVERYONE"}
CHOICES = [{}] + [dict.fromkeys(GUARDED, kind) for kind in MEANT] + [
    dict.fromkeys(GUARDED, "NOBODY") | {field: "EVERYONE"} for field in GUARDED] + [{"find": kind} for kind in MEANT]


def part_for(relation, whole, audiences):
    """What a viewer is to see of a profile; None: that there is none."""
    if relation == "blocked_by":
        return None
    hidden = {GUARDED[field] for field in GUARDED if relation not in MEANT[audiences[field]]}
    return {name: value for name, value in whole.items() if name not in hidden}


def choice_id(choice):
    return "-".join(f"{field} {kind}" for field, kind in choice.items()) or "usual"


@pytest.mark.parametrize("door", ASK)
@pytest.mark.parametrize("choice", CHOICES, ids=choice_id)
def test_what_privacy_hides_is_absent_from_the_answer(server, shown, choice, door):
    audiences = USUAL | choice
    shown.choose(audiences)
    whole = shown.whole()
    assert set(whole) == {"userId", "username", "nickname", "signature", "version", "updatedAt", "region", "birthday", "custom",
                          "avatar", "status", "lastSeen"}
    for relation, viewer in shown.viewers.items():
        look = Door(door, server, viewer)
        seen = part_for(relation, whole, audiences)
        assert look.one(shown.owner.user) == (seen or look.one(NOBODY)), relation
        assert look.several(shown.owner.user, NOBODY).get("profiles", []) == ([seen] if seen else []), relation
        found = look.search(shown.owner.username).get("profiles", [])
        assert found == ([seen] if relation in MEANT[audiences["find"]] else []), relation


@pytest.mark.parametrize("door", ASK)
def test_nothing_is_hidden_from_the_owner(server, alice, door):
    alice.ok("PATCH", "/v1/settings", {"privacy": dict.fromkeys(USUAL, {"kind": "NOBODY"})})
    whole = alice.ok("PATCH", "/v1/profiles/me", {"status": "BUSY"})
    look = Door(door, server, alice)
    for profile in (look.one(alice.user), *look.several(alice.user, NOBODY)["profiles"]):
        profile.pop("lastSeen", None)  # the end of a call's socket
        assert profile == whole


@pytest.mark.parametrize("door", ASK)
def test_invisible_is_the_owners_to_know(server, shown, door):
    """To others it is as if no status had been set: not even the version tells."""
    shown.choose(dict.fromkeys(USUAL, "EVERYONE"))
    viewers = {relation: shown.viewers[relation] for relation in ("friend", "stranger")}
    before = {relation: Door(door, server, viewer).one(shown.owner.user) for relation, viewer in viewers.items()}
    assert {profile.pop("status") for profile in before.values()} == {"BUSY"}
    shown.owner.ok("PATCH", "/v1/profiles/me", {"status": "INVISIBLE"})
    try:
        for relation, viewer in viewers.items():
            look = Door(door, server, viewer)
            assert look.one(shown.owner.user) == before[relation]
            assert look.several(shown.owner.user)["profiles"] == [before[relation]]
            assert look.search(shown.owner.username)["profiles"] == [before[relation]]
        assert shown.whole()["status"] == "INVISIBLE"
    finally:
        shown.owner.ok("PATCH", "/v1/profiles/me", {"status": "BUSY"})
