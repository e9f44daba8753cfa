"""Who may do what to whom, through every door: one test for each cell of authorization.csv.

A row is a method, or the frame that writes to somebody. Its columns say how the target stands to the caller, and then
who calls: another device of the same user, a revoked one, a service. Its cells are the answers. Rows of methods that have
no target have one cell for all relations. Methods for anyone and for services say so in `access`.
"""

import base64
import csv
import hashlib
import hmac
import json
import time
from pathlib import Path

import grpc
import pytest
from doors import DOORS, METHODS, PACKAGE
from google.protobuf import message_factory
from server import Server
from wire import PASSWORD, Account, Api, Closed, Socket

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
    assert sorted(row["method"] for row in TABLE if row["access"] != "frame") == sorted(METHODS)
    assert all(row[column] for row in TABLE for column in ("another_device", "revoked_device"))


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


def with_a_target(row):
    """The relation that shows most of what a method does."""
    return next(relation for relation in ("friend", "self") if row[relation])


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("row", OF_USERS, ids=name)
def test_another_device_may_do_the_same_and_a_revoked_one_nothing(server, api, gone, door, row):
    scene = Scene(api, with_a_target(row), gone)
    revoked = scene.me.another_device()
    revoked.ok("POST", "/v1/auth/logout")
    for token in (revoked.token, None):
        assert DOORS[door](server, token, row, scene.fill, api)[0] == row["revoked_device"]
    other_device = scene.me.another_device()
    assert DOORS[door](server, other_device.token, row, scene.fill, api)[0] == row["another_device"]


# MARK: What no user calls

@pytest.mark.parametrize("door", ["grpc", "socket"])
@pytest.mark.parametrize("row", [row for row in TABLE if row["access"] == "service"], ids=name)
def test_methods_for_services_are_served_to_nobody(server, alice, api, door, row):
    assert DOORS[door](server, alice.another_device().token, row, str, api) == (row["another_device"], "no such method")
    revoked = alice.another_device()
    revoked.ok("POST", "/v1/auth/logout")
    # On a socket it has no session that could call.
    expected = "UNAUTHENTICATED" if door == "socket" else row["revoked_device"]
    assert DOORS[door](server, revoked.token, row, str, api)[0] == expected


@pytest.mark.parametrize("row", [row for row in TABLE if row["access"] == "anyone"], ids=name)
def test_methods_for_anyone_do_not_ask_who_calls_and_no_session_has_them(server, alice, api, row):
    revoked = alice.another_device()
    revoked.ok("POST", "/v1/auth/logout")
    for column, token in (("another_device", None), ("another_device", alice.token), ("revoked_device", revoked.token)):
        assert DOORS["grpc"](server, token, row, str, api)[0] == row[column]
    assert DOORS["socket"](server, alice.token, row, str, api)[0] == "UNIMPLEMENTED"


SECRET = "a secret of thirty-two bytes or more"


def service_token(method):
    """What one service shows another: an HS256 token for one method."""
    def part(text):
        return base64.urlsafe_b64encode(text).rstrip(b"=").decode()

    now = int(time.time())
    claims = {"iss": "ringway-service", "aud": PACKAGE + method, "iat": now, "exp": now + 30}
    content = part(b'{"alg":"HS256","typ":"svc+jwt"}') + "." + part(json.dumps(claims).encode())
    return content + "." + part(hmac.new(SECRET.encode(), content.encode(), hashlib.sha256).digest())


@pytest.fixture(scope="module")
def open_to_services(shared_server):
    """Another node on the same database, to which services may speak."""
    node = Server(shared_server.postgres_url)
    try:
        yield node.start(RINGWAY_SERVICE_SECRET=SECRET)
    finally:
        node.stop()


@pytest.mark.parametrize("row", [row for row in TABLE if row["service"]], ids=name)
def test_a_service_may_call_what_is_for_services_and_acts_as_no_user(open_to_services, row):
    method = METHODS[row["method"]]
    request = message_factory.GetMessageClass(method.input_type)()
    with grpc.insecure_channel(f"127.0.0.1:{open_to_services.ports['grpc']}") as channel:
        call = channel.unary_unary(
            f"/{PACKAGE}{row['method']}", request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=bytes)
        try:
            call(request, timeout=10, metadata=[("ringway-service", service_token(row["method"]))])
            code = "OK"
        except grpc.RpcError as error:
            code = error.code().name
    assert code == row["service"]


# MARK: Writing to somebody, which is a frame and no method

WRITING = next(row for row in TABLE if row["access"] == "frame")


def write(server, account, scene):
    try:
        with Socket(server.ws, account.token, 0) as socket:
            socket.send({"send": json.loads(scene.fill(WRITING["body"]))})
            while True:
                kind, content = socket.receive()
                if kind in ("sent", "error"):
                    return content.get("code", "OK"), content.get("message", "")
    except Closed as closed:
        assert closed.code == 4501
        return "UNAUTHENTICATED", ""


@pytest.mark.parametrize("relation", RELATIONS)
def test_who_may_be_written_to(server, api, gone, relation):
    scene = Scene(api, relation, gone)
    assert write(server, scene.me, scene)[0] == WRITING[relation]
    other_device = scene.me.another_device()
    if relation == "friend":
        assert write(server, other_device, scene)[0] == WRITING["another_device"]
        other_device.ok("POST", "/v1/auth/logout")
        assert write(server, other_device, scene)[0] == WRITING["revoked_device"]


def test_who_may_not_be_written_to_is_like_nobody(server, api, gone):
    answers = set()
    for relation in ("stranger", "asked", "blocked_by", "blocking", "deleted", "nobody"):
        scene = Scene(api, relation, gone)
        answers.add(write(server, scene.me, scene))
    assert len(answers) == 1
