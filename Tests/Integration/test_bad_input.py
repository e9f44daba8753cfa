"""Bad input on the socket: each case gets its documented answer, and the server goes on serving."""

import base64
import hashlib
import hmac
import json

import pytest
from wire import Account, Api, Closed, Socket


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def altered(token):
    """The claims are somebody else's; the signature is the old one."""
    header, claims, signature = token.split(".")
    content = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    content["exp"] += 86_400
    return f"{header}.{part(content)}.{signature}"


def resigned(token):
    """The signature is changed in its first character."""
    header, claims, signature = token.split(".")
    return f"{header}.{claims}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def unsigned(token):
    """Signed with nothing: RFC 7515 calls it "none"."""
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{token.split('.')[1]}."


def symmetric(token):
    """Signed with a secret, though the server's keys are pairs."""
    content = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{token.split('.')[1]}"
    signature = hmac.new(b"secret", content.encode(), hashlib.sha256).digest()
    return f"{content}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def hello(token, since="0"):
    return {"hello": {"token": token, "sinceSeq": since}}


def send(client_id, to, text):
    return {"send": {"clientId": client_id, "to": to, "body": {"text": text}}}


def assert_refused(socket, code, client_id):
    error = socket.expect("error")
    assert error["code"] == code
    assert error.get("clientId", "") == client_id
    assert error["message"]
    assert error.get("retryAfterMs", 0) == 0
    assert socket.is_alive()
    return error


def closes(socket, *frames):
    """The code with which the server answers these frames."""
    try:
        for frame in frames:
            socket.send(frame) if isinstance(frame, dict) else socket.raw(frame)
    except Closed as closed:
        return closed.code
    return socket.expect_close()


def test_frame_before_hello(connect):
    assert closes(connect(), {"ping": {}}) == 4500
    assert closes(connect(), send("m1", "1", "hello")) == 4500


def test_second_hello(alice, connect):
    assert closes(connect(alice), hello(alice.token)) == 4500


def test_no_hello(connect):
    socket = connect()
    with pytest.raises(TimeoutError):
        socket.expect_close(timeout=3)
    assert socket.expect_close(timeout=5) == 4003


@pytest.mark.parametrize("forge", [altered, resigned, unsigned, symmetric, lambda _: "", lambda _: "not a token"])
def test_forged_token(alice, connect, forge):
    assert closes(connect(), hello(forge(alice.token))) == 4501
    assert connect(alice).is_alive()


def test_very_long_token(connect):
    assert closes(connect(), hello("a" * 10_000)) == 4501


def test_token_of_a_logged_out_device(alice, connect):
    alice.ok("POST", "/v1/auth/logout")
    assert closes(connect(), hello(alice.token)) == 4501


def test_stranger_and_nobody_look_the_same(alice, bob, connect):
    socket = connect(alice)
    nobody = str(int(bob.user) + 12345)
    socket.message("m1", bob.user, "hello")
    to_stranger = assert_refused(socket, "PERMISSION_DENIED", "m1")
    socket.message("m2", nobody, "hello")
    to_nobody = assert_refused(socket, "PERMISSION_DENIED", "m2")
    assert {**to_stranger, "clientId": ""} == {**to_nobody, "clientId": ""}
    assert bob.log() == [] and alice.log() == []


@pytest.mark.parametrize("to", ["0", "-1", "-9223372036854775808"])
def test_recipient_that_is_no_id(alice, connect, to):
    socket = connect(alice)
    socket.message("m1", to, "hello")
    assert_refused(socket, "INVALID_ARGUMENT", "m1")


@pytest.mark.parametrize("to", ["9223372036854775808", "18446744073709551616", "1.5", "bob", ""])
def test_recipient_that_is_no_64_bit_integer(alice, connect, to):
    assert closes(connect(alice), send("m1", to, "hello")) == 4500


def test_body_empty_missing_oversized_or_with_nul(friends, connect):
    alice, bob = friends
    socket = connect(alice)
    limit = socket.welcome["limits"]["textBytesMax"]
    for text in ("", "x" * (limit + 1), "é" * (limit // 2 + 1), "a\0b"):
        socket.message("m1", bob.user, text)
        assert_refused(socket, "INVALID_ARGUMENT", "m1")
    socket.send({"send": {"clientId": "m1", "to": bob.user}})
    assert_refused(socket, "INVALID_ARGUMENT", "m1")
    # The id was not used up by what was refused.
    socket.message("m1", bob.user, "at last")
    assert socket.expect("sent")["clientId"] == "m1"


def test_client_id_empty_too_long_or_with_nul(friends, connect):
    alice, bob = friends
    socket = connect(alice)
    for client_id in ("", "x" * 65, "é" * 33, "a\0b"):
        socket.message(client_id, bob.user, "hello")
        error = socket.expect("error")
        assert error["code"] == "INVALID_ARGUMENT"
        assert socket.is_alive()
    socket.message("x" * 64, bob.user, "hello")
    assert socket.expect("sent")["clientId"] == "x" * 64


def test_message_to_oneself(alice, connect):
    socket = connect(alice)
    socket.message("m1", alice.user, "note to self")
    assert_refused(socket, "INVALID_ARGUMENT", "m1")


def test_resume_ahead_of_the_log(alice, server):
    with Socket(server.ws) as socket:
        socket.send(hello(alice.token, since="1000"))
        assert socket.expect("error")["code"] == "OUT_OF_RANGE"
        assert socket.expect_close() == 4500


def test_resume_from_a_negative_seq(alice, connect):
    assert closes(connect(), hello(alice.token, since="-1")) == 4500


@pytest.mark.parametrize("client", ["x" * 129, "two\nlines", "a\0b"], ids=["long", "lines", "nul"])
def test_client_text_that_breaks_its_rule(alice, connect, client):
    socket = connect()
    frame = hello(alice.token)
    frame["hello"]["client"] = client
    socket.send(frame)
    error = socket.expect("error")
    assert error["code"] == "INVALID_ARGUMENT"
    assert client not in error["message"]
    assert socket.expect_close() == 4500


def test_client_text_is_for_the_log_at_level_debug(own_server):
    own_server.stop()
    own_server.start(RINGWAY_LOG_LEVEL="debug")
    account = Account(Api(own_server.http))
    with Socket(own_server.ws) as socket:
        frame = hello(account.token)
        frame["hello"]["client"] = "é" * 128
        socket.send(frame)
        socket.expect("welcome")
    assert "é" * 128 in own_server.log()
    assert account.token not in own_server.log()


def test_ack_ahead_of_the_log_or_negative(alice, connect):
    socket = connect(alice)
    socket.send({"ack": {"seq": "1000"}})
    assert_refused(socket, "OUT_OF_RANGE", "")
    socket.send({"ack": {"seq": "-1"}})
    assert_refused(socket, "INVALID_ARGUMENT", "")


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", '"ping"', "{}", '{"ping": 1}', '{"send": {"to": {}}}', '{"nothing": {}}', "[" * 50_000],
)
def test_undecodable_frame(alice, connect, text):
    assert closes(connect(alice), text) == 4500


def test_two_frames_in_one(alice, connect):
    assert closes(connect(alice), '{"ping": {}, "ack": {"seq": "0"}}') == 4500


def test_binary_frame_on_the_json_subprotocol(alice, connect):
    assert closes(connect(alice), b'{"ping": {}}') == 4500


def test_broken_utf8(alice, connect):
    socket = connect(alice)
    socket.raw(b'{"ping": {"x": "\xff"}}', text=True)
    assert socket.expect_close() == 1007


def test_message_larger_than_any_frame(alice, connect):
    socket = connect(alice)
    socket.raw("x" * (socket.welcome["limits"]["frameBytesMax"] + 1))
    assert socket.expect_close() == 1009


def test_unknown_fields_are_ignored(friends, connect):
    alice, bob = friends
    socket = connect()
    socket.send({"hello": {"token": alice.token, "sinceSeq": "0", "shoeSize": 43}})
    socket.expect("welcome")
    socket.send({"ping": {"extra": [1, {"deep": None}]}})
    assert socket.expect("pong") == {}
    frame = send("m1", bob.user, "hello")
    frame["send"]["colour"] = "green"
    socket.send(frame)
    assert socket.expect("sent")["clientId"] == "m1"


def test_numbers_are_taken_as_ids_too(friends, connect):
    alice, bob = friends
    socket = connect(alice)
    socket.send(send("m1", int(bob.user), "hello"))
    assert socket.expect("sent")["clientId"] == "m1"


def test_subprotocol_is_required(server):
    with pytest.raises(Exception, match="400"):
        Socket(server.ws, subprotocol="chat")
