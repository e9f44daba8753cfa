"""Calls over a socket: the methods of the other doors, as the session's own user and device."""

import pytest
from hostile import ProtoSocket, frame_class

PROFILE = "ringway.v1.ProfileService/"


def call(socket, method, body=None, call_id="c1"):
    """The reply to one call."""
    content = {"id": call_id, "method": method}
    if body is not None:
        content["json"] = body
    socket.send({"call": content})
    return socket.expect("reply", where=lambda reply: reply["id"] == call_id)


def test_call_answers_like_http(alice, connect):
    socket = connect(alice)
    profile = alice.ok("GET", "/v1/profiles/me")
    assert call(socket, PROFILE + "GetMyProfile") == {"id": "c1", "json": profile}
    assert call(socket, PROFILE + "GetMyProfile", {})["json"] == profile
    assert call(socket, PROFILE + "GetProfile", {"userId": alice.user})["json"]["userId"] == alice.user


def test_call_changes_things_as_the_session_user(alice, bob, connect):
    socket = connect(alice)
    reply = call(socket, "ringway.v1.FriendshipService/RequestFriend", {"to": bob.user, "message": "hi"})
    assert reply["json"]["from"] == alice.user
    assert [event["friend"]["userId"] for event in bob.log()] == [alice.user]


def test_call_takes_unknown_fields_and_large_ids_as_strings(alice, connect):
    reply = call(connect(alice), PROFILE + "GetProfile", {"userId": "9007199254740993", "colour": {"deep": [1, 2]}})
    assert reply["error"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    "method",
    ["", "/", "GetMyProfile", "ringway.v1.ProfileService", PROFILE, PROFILE + "getMyProfile",
     "ringway.v1.ProfileService/GetMyProfile/", "/ringway.v1.ProfileService/GetMyProfile", "no.such/Method",
     # What needs no token, and what is for services only.
     "ringway.v1.AuthService/LogIn", "ringway.v1.AuthService/Register", "ringway.v1.AuthService/VerifyToken"],
)
def test_call_of_what_is_not_served_on_sockets(alice, connect, method):
    socket = connect(alice)
    assert call(socket, method)["error"] == {"code": "UNIMPLEMENTED", "message": "no such method"}
    assert socket.is_alive()


@pytest.mark.parametrize("body", [{"userId": "one"}, {"userId": 1.5}, {"userId": "9223372036854775808"}, {"userId": {"deep": 1}}])
def test_call_with_a_bad_body_is_refused_and_the_session_goes_on(alice, connect, body):
    socket = connect(alice)
    assert call(socket, PROFILE + "GetProfile", body)["error"]["code"] == "INVALID_ARGUMENT"
    assert socket.is_alive()


def test_call_nested_beyond_measure_ends_the_session_only(alice, connect):
    socket = connect(alice)
    deep = '{"a":' * 10_000 + "{}" + "}" * 10_000
    socket.raw('{"call":{"id":"c1","method":"%sGetMyProfile","json":%s}}' % (PROFILE, deep))
    assert socket.expect_close() == 4500
    assert connect(alice).is_alive()


@pytest.mark.parametrize("call_id", ["", "x" * 65])
def test_call_with_a_bad_id_is_refused(alice, connect, call_id):
    socket = connect(alice)
    socket.send({"call": {"id": call_id, "method": PROFILE + "GetMyProfile"}})
    assert socket.expect("error")["code"] == "INVALID_ARGUMENT"
    assert socket.is_alive()


def test_many_calls_at_once_are_answered_or_told_to_wait(alice, connect):
    socket = connect(alice)
    for number in range(200):
        socket.send({"call": {"id": f"c{number}", "method": PROFILE + "GetMyProfile"}})
    replies = [socket.expect("reply") for _ in range(200)]
    assert sorted(reply["id"] for reply in replies) == sorted(f"c{number}" for number in range(200))
    for reply in replies:
        assert "json" in reply or reply["error"]["code"] == "RESOURCE_EXHAUSTED" and reply["error"]["retryAfterMs"] > 0
    assert any("json" in reply for reply in replies)


def test_call_before_hello_is_a_protocol_error(connect):
    socket = connect()
    socket.send({"call": {"id": "c1", "method": PROFILE + "GetMyProfile"}})
    assert socket.expect_close() == 4500


def test_call_to_log_out_ends_the_session(alice, connect):
    socket = connect(alice)
    socket.send({"call": {"id": "c1", "method": "ringway.v1.AuthService/LogOut"}})
    assert socket.expect_close() == 4503


def test_nobody_outside_can_vouch_for_a_caller(alice, api):
    status, _, _ = api.raw("GET", "/v1/profiles/me", headers={"ringway-caller": f"{alice.user}.{alice.device}"})
    assert status == 401


def test_an_answer_that_no_frame_holds_is_an_error_and_not_silence(server, friends, connect):
    alice, bob = friends
    socket = connect(alice)
    before = alice.head()
    for number in range(10):
        socket.message(f"m{number}", bob.user, "x" * 16_000)
        socket.expect("sent")
    read = {"since": str(before), "limit": 7}
    assert len(call(socket, "ringway.v1.InboxService/ReadInbox", read)["json"]["events"]) == 7
    error = call(socket, "ringway.v1.InboxService/ReadInbox", read | {"limit": 10}, "c2")["error"]
    assert error["code"] == "RESOURCE_EXHAUSTED" and "retryAfterMs" not in error
    assert socket.is_alive()
    frame = frame_class("ClientFrame")()
    frame.call.id, frame.call.method = "c3", "ringway.v1.InboxService/ReadInbox"
    with ProtoSocket(server, alice.token) as other:
        reply = other.exchange(frame.SerializeToString()).reply
    assert (reply.id, reply.error.code) == ("c3", "RESOURCE_EXHAUSTED")
    # The other doors have room for it.
    assert len(alice.ok("GET", f"/v1/inbox?since={before}")["events"]) == 10
