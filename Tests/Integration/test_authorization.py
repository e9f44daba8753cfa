"""Who may do what to whom, through every door: one test for each cell of authorization.csv.

A row is a method. Its columns say how the target stands to the caller, its cells what the answer is. Rows of methods
that have no target have one cell. Methods for anyone and for services say so in `access`.
"""

import csv
import time
from pathlib import Path

import pytest
from doors import DOORS, METHODS
from wire import PASSWORD, Account, Api

NOBODY = "4611686018427387904"
RELATIONS = ("self", "friend", "asked", "asking", "stranger", "blocked_by", "blocking", "nobody", "deleted")
TABLE = list(csv.DictReader(Path(__file__).with_name("authorization.csv").open(), delimiter=";"))
OF_USERS = [row for row in TABLE if row["access"] == "user"]
CELLS = [(row, relation) for row in OF_USERS for relation in RELATIONS if row[relation]]


def name(value):
    return value["method"] if isinstance(value, dict) else value


class Scene:
    """Two users in a relation, and how a row's templates are filled with them."""

    def __init__(self, api, relation, gone):
        self.me = Account(api)
        self.request = "1"
        if relation == "deleted":
            self.target, self.device, self.group = gone.user, gone.device, gone.group
            return
        other = self.me if relation == "self" else None if relation == "nobody" else Account(api)
        self.target = other.user if other else NOBODY
        if relation == "friend":
            self.me.befriend(other)
        elif relation == "asked":
            self.request = self.me.ok("POST", "/v1/friend-requests", {"to": other.user})["id"]
        elif relation == "asking":
            self.request = other.ok("POST", "/v1/friend-requests", {"to": self.me.user})["id"]
        elif relation == "blocked_by":
            other.ok("POST", "/v1/blocks", {"userId": self.me.user})
        elif relation == "blocking":
            self.me.ok("POST", "/v1/blocks", {"userId": other.user})
        self.device = other.device if other else NOBODY
        self.group = other.ok("POST", "/v1/friend-groups", {"name": "work"})["id"] if other else NOBODY

    def fill(self, template):
        filled = template.replace("{target}", self.target).replace("{request}", self.request)
        return filled.replace("{group}", self.group).replace("{device}", self.device)


def end(api, database):
    """A user who had a device, a group and a friend, and whose account has come to its end."""
    user, friend = Account(api), Account(api)
    user.befriend(friend)
    user.group = user.ok("POST", "/v1/friend-groups", {"name": "work"})["id"]
    user.ok("POST", "/v1/account:delete", {"password": PASSWORD})
    database.sql(f"UPDATE auth.accounts SET delete_after = now() WHERE id = {user.user}")
    deadline = time.monotonic() + 20
    while friend.call("GET", f"/v1/profiles/{user.user}")[0] != 404:
        assert time.monotonic() < deadline, "the account does not end"
        time.sleep(0.05)
    return user


@pytest.fixture(scope="module")
def gone(shared_server):
    return end(Api(shared_server.http), shared_server.database)


def test_every_method_of_the_contract_has_a_row():
    assert sorted(row["method"] for row in TABLE) == sorted(METHODS)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("row", "relation"), CELLS, ids=name)
def test_cell(server, api, gone, door, row, relation):
    scene = Scene(api, relation, gone)
    code, message = DOORS[door](server, scene.me.token, row, scene.fill, api)
    assert code == row[relation], message


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("row", [row for row in OF_USERS if row["blocked_by"]], ids=name)
def test_who_blocks_who_is_gone_and_nobody_are_alike(server, api, gone, door, row):
    answers = []
    for relation in ("blocked_by", "deleted", "nobody"):
        scene = Scene(api, relation, gone)
        answers.append(DOORS[door](server, scene.me.token, row, scene.fill, api))
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("row", OF_USERS, ids=name)
def test_another_device_may_do_the_same_and_a_revoked_one_nothing(server, api, gone, door, row):
    relation = next(relation for relation in ("friend", "self") if row[relation])
    scene = Scene(api, relation, gone)
    revoked = scene.me.another_device()
    revoked.ok("POST", "/v1/auth/logout")
    for token in (revoked.token, None):
        assert DOORS[door](server, token, row, scene.fill, api)[0] == "UNAUTHENTICATED"
    other_device = scene.me.another_device()
    assert DOORS[door](server, other_device.token, row, scene.fill, api)[0] == row[relation]


@pytest.mark.parametrize("door", ["grpc", "socket"])
@pytest.mark.parametrize("row", [row for row in TABLE if row["access"] == "service"], ids=name)
def test_methods_for_services_are_served_to_nobody(server, alice, api, door, row):
    assert DOORS[door](server, alice.token, row, str, api) == ("UNIMPLEMENTED", "no such method")


@pytest.mark.parametrize("row", [row for row in TABLE if row["access"] == "anyone"], ids=name)
def test_methods_for_anyone_refuse_an_empty_request_unless_it_is_whole_and_no_session_has_them(server, alice, api, row):
    expected = (row["self"],) if row["self"] else ("INVALID_ARGUMENT", "UNAUTHENTICATED")
    assert DOORS["grpc"](server, None, row, str, api)[0] in expected
    assert DOORS["socket"](server, alice.token, row, str, api)[0] == "UNIMPLEMENTED"
