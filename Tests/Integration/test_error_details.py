"""Which field of a request is at fault: told at each door in the same words, and nothing where no one field is."""

import json

import pytest
from doors import ASK, METHODS, PACKAGE
from google.protobuf import json_format, message_factory
from hostile import ProtoSocket, frame_class, witness
from wire import PASSWORD, Socket

# A method, its route, a request, and the field that the refusal names.
FAULTS = [
    ("ProfileService/UpdateMyProfile", "PATCH /v1/profiles/me", {"nickname": "a\0b"}, "nickname"),
    ("ProfileService/UpdateMyProfile", "PATCH /v1/profiles/me", {"birthday": "2026-02-30"}, "birthday"),
    ("FriendshipService/CreateFriendGroup", "POST /v1/friend-groups", {"name": ""}, "name"),
    ("FriendshipService/RequestFriend", "POST /v1/friend-requests", {"to": "7", "message": "a\0b"}, "message"),
    ("AuthService/ChangePassword", "POST /v1/auth/password", {"password": PASSWORD, "newPassword": "x"}, "new_password"),
    ("AuthService/ChangeEmail", "POST /v1/account/email", {"password": "wrong", "email": "a@example.org"}, "password"),
    ("AuthService/ChangeEmail", "POST /v1/account/email", {"password": PASSWORD, "email": "nobody"}, "email"),
    ("FriendshipService/RequestFriend", "POST /v1/friend-requests", {"to": "{me}"}, "to"),
    ("FriendshipService/BlockUser", "POST /v1/blocks", {"userId": "{me}"}, "user_id"),
    ("FriendshipService/CreateFriendGroup", "POST /v1/friend-groups", {"name": "taken"}, "name"),
    ("FriendshipService/ListRelationChanges", "GET /v1/relation-changes?since=9000", {"sinceVersion": "9000"}, "since_version"),
    ("SettingsService/GetSettings", "GET /v1/settings?since=9000", {"sinceVersion": "9000"}, "since_version"),
    ("InboxService/ReadInbox", "GET /v1/inbox?since=9000", {"since": "9000"}, "since"),
    ("ProfileService/UpdateMyProfile", "PATCH /v1/profiles/me", {"region": "x", "expectedVersion": "9"}, "expected_version"),
    ("SettingsService/UpdateSettings", "PATCH /v1/settings",
     {"push": {"previews": False}, "expectedVersion": "9"}, "expected_version"),
    ("FriendshipService/RemoveFriend", "DELETE /v1/friends/7", {"userId": "7"}, None),
]


def told_by(door, server, account, method, route, body):
    """Code, message and field of a refusal."""
    row = {"method": method, "http": route, "body": json.dumps(body)}
    error = ASK[door](server, account.token, row, str, account.api)["error"]
    return error["code"], error["message"], error.get("field")


def over_a_socket_in_protobuf(server, account, method, body):
    request = message_factory.GetMessageClass(METHODS[method].input_type)()
    json_format.ParseDict(body, request)
    frame = frame_class("ClientFrame")()
    frame.call.id, frame.call.method, frame.call.proto = "c", PACKAGE + method, request.SerializeToString()
    with ProtoSocket(server, account.token) as socket:
        error = socket.exchange(frame.SerializeToString()).reply.error
    return error.code, error.message, error.field or None


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault[0]}-{fault[3]}")
def test_every_door_names_the_field_at_fault_and_says_why(server, alice, fault):
    method, route, body, field = fault
    body = {name: alice.user if value == "{me}" else value for name, value in body.items()}
    alice.ok("POST", "/v1/friend-groups", {"name": "taken"})
    with witness(server):
        told = {door: told_by(door, server, alice, method, route, body) for door in ASK}
        told["in protobuf"] = over_a_socket_in_protobuf(server, alice, method, body)
    assert len(set(told.values())) == 1, told
    code, message, named = told["http"]
    assert named == field and message
    assert code in ("INVALID_ARGUMENT", "PERMISSION_DENIED", "NOT_FOUND", "ALREADY_EXISTS", "OUT_OF_RANGE", "ABORTED")


# What JSON can say and no message can hold.
MISTYPED = [
    ("ProfileService/UpdateMyProfile", "PATCH /v1/profiles/me", {"nickname": 5}, "nickname"),
    ("ProfileService/UpdateMyProfile", "PATCH /v1/profiles/me", {"expectedVersion": "x"}, "expected_version"),
    ("ProfileService/UpdateMyProfile", "PATCH /v1/profiles/me", {"custom": {"a": 5}}, "custom.a"),
    # A name that a newer client may know. Who writes it is not told that it was done.
    ("ProfileService/UpdateMyProfile", "PATCH /v1/profiles/me", {"status": "ASLEEP"}, "status"),
    ("SettingsService/UpdateSettings", "PATCH /v1/settings", {"privacy": {"find": {"kind": "FAMILY"}}}, "privacy.find.kind"),
    ("FriendshipService/RequestFriend", "POST /v1/friend-requests", {"to": "9223372036854775808", "later": 1}, "to"),
]


@pytest.mark.parametrize("fault", MISTYPED, ids=lambda fault: f"{fault[0]}-{fault[3]}")
def test_a_value_of_another_type_names_its_field(server, alice, fault):
    method, route, body, field = fault
    with witness(server):
        for door in ("http", "socket"):
            told = told_by(door, server, alice, method, route, body)
            assert told == ("INVALID_ARGUMENT", f"{field} must be a value of its type", field), door


@pytest.mark.parametrize("frame,field", [
    ({"send": {"clientId": "", "to": "1", "body": {"text": "x"}}}, "client_id"),
    ({"send": {"clientId": "m", "to": "-1", "body": {"text": "x"}}}, "to"),
    ({"send": {"clientId": "m", "to": "1", "body": {"text": ""}}}, "body.text"),
    ({"ack": {"seq": "-1"}}, "seq"),
    ({"ack": {"seq": "1000000"}}, "seq"),
    ({"call": {"id": "", "method": "x"}}, "id"),
    ({"send": {"clientId": "m", "to": "1", "body": {"text": "x"}}}, None),
])
def test_an_error_frame_names_the_field_at_fault(alice, connect, frame, field):
    socket = connect(alice)
    socket.send(frame)
    assert socket.expect("error").get("field") == field
    assert socket.is_alive()


@pytest.mark.parametrize("hello,field", [({"sinceSeq": "-1"}, "since_seq"), ({"sinceSeq": "9000"}, "since_seq"),
                                         ({"client": "a\nb"}, "client")])
def test_a_refused_hello_names_the_field_at_fault(server, alice, hello, field):
    with Socket(server.ws) as socket:
        socket.send({"hello": {"token": alice.token, **hello}})
        assert socket.expect("error")["field"] == field
        assert socket.expect_close() == 4500


def test_a_field_by_both_of_its_names_is_twice_there_also_in_a_struct(server, alice):
    """The binary subprotocol carries a call's JSON as a Struct, in which nothing stands twice but both names of a field."""
    frame = frame_class("ClientFrame")()
    frame.call.id, frame.call.method = "c", PACKAGE + "ProfileService/GetProfile"
    frame.call.json.update({"userId": alice.user, "user_id": "1"})
    with ProtoSocket(server, alice.token) as socket:
        error = socket.exchange(frame.SerializeToString()).reply.error
        assert (error.code, error.message) == ("INVALID_ARGUMENT", "the body has a field twice in one object")
        # In a map the names are data.
        frame.call.method = PACKAGE + "ProfileService/UpdateMyProfile"
        frame.call.json.Clear()
        frame.call.json.update({"custom": {"a_b": "1", "a__b": "2"}})
        profile = json_format.MessageToDict(socket.exchange(frame.SerializeToString()).reply.json)
        assert profile["custom"] == {"a_b": "1", "a__b": "2"}
    assert alice.ok("GET", "/v1/profiles/me")["custom"] == {"a_b": "1", "a__b": "2"}
