"""What a session promises: delivery to every device, harmless retries, heartbeats, and an end with the device."""

import time

import pytest
from wire import PASSWORD, Account, Closed, assert_gap_free, texts, within_a_second


def test_welcome_states_the_limits_and_who_one_is(alice, connect):
    socket = connect(alice)
    welcome = socket.welcome
    assert welcome["userId"] == alice.user
    assert welcome["deviceId"] == alice.device
    assert welcome["sessionId"]
    assert welcome["heartbeatMs"] > 0
    limits = welcome["limits"]
    assert limits["clientIdBytesMax"] == 64
    assert 0 < limits["textBytesMax"] < limits["frameBytesMax"]


def test_ping_is_answered_with_pong(alice, connect):
    assert connect(alice).is_alive()


def test_register_appends_nothing_and_login_appends_a_device(alice):
    assert alice.log() == []
    second = alice.another_device()
    (event,) = alice.log()
    assert event["device"] == {"change": "ADDED", "deviceId": second.device}
    assert second.user == alice.user


def test_friend_changes_appear_in_both_logs(alice, bob):
    alice.befriend(bob)
    bob.ok("DELETE", f"/v1/friends/{alice.user}")
    for account, other in ((alice, bob), (bob, alice)):
        log = account.log()
        assert_gap_free(log)
        assert [event["friend"]["change"] for event in log] == ["REQUESTED", "ACCEPTED", "REMOVED"]
        assert {event["friend"]["userId"] for event in log} == {other.user}


def test_message_reaches_the_recipient_and_the_senders_other_device(friends, connect):
    alice, bob = friends
    phone = alice.another_device()
    laptop_socket, phone_socket, bob_socket = connect(alice), connect(phone), connect(bob)
    laptop_socket.message("m1", bob.user, "hello from the laptop")
    sent = laptop_socket.expect("sent")
    assert sent["clientId"] == "m1"

    received = bob_socket.expect("event")
    assert received["message"]["body"] == {"text": "hello from the laptop"}
    mirrored = phone_socket.expect("event", where=lambda event: "message" in event)
    assert mirrored["seq"] == sent["seq"]
    assert mirrored["message"]["body"] == {"text": "hello from the laptop"}
    # On the device that sent it, `sent` stands for the event.
    assert [kind for kind, content in laptop_socket.drain() if kind == "event" and "message" in content] == []


def test_sent_and_event_carry_the_time_of_the_log(friends, connect):
    alice, bob = friends
    socket = connect(alice)
    socket.message("m1", bob.user, "when?")
    sent = socket.expect("sent")
    (entry,) = [event for event in alice.log() if event["seq"] == sent["seq"]]
    assert entry["at"] == sent["at"]


def test_retry_is_answered_with_the_first_answer_and_delivered_once(friends, connect):
    alice, bob = friends
    sender, recipient = connect(alice), connect(bob)
    sender.message("same", bob.user, "once")
    first = sender.expect("sent")
    sender.message("same", bob.user, "once")
    assert sender.expect("sent") == first
    # Also from a new connection, and though the text differs: the id decides.
    again = connect(alice)
    again.message("same", bob.user, "another text")
    assert again.expect("sent") == first

    assert recipient.expect("event")["message"]["body"]["text"] == "once"
    assert [frame for frame in recipient.drain() if frame[0] == "event"] == []
    assert texts(bob.log()) == ["once"]
    assert texts(alice.log()) == ["once"]


def test_retries_in_one_burst_are_one_message(friends, connect):
    alice, bob = friends
    sender = connect(alice)
    for _ in range(20):
        sender.message("burst", bob.user, "burst")
    answers = [sender.expect("sent") for _ in range(20)]
    assert len({answer["seq"] for answer in answers}) == 1
    assert texts(bob.log()) == ["burst"]


def test_one_client_id_on_two_devices_is_two_messages(friends, connect):
    alice, bob = friends
    phone = alice.another_device()
    for device in (alice, phone):
        socket = connect(device)
        socket.message("m1", bob.user, f"from {device.device}")
        socket.expect("sent")
    assert texts(bob.log()) == [f"from {alice.device}", f"from {phone.device}"]


def test_messages_of_a_sender_keep_their_order(friends, connect):
    alice, bob = friends
    sender, recipient = connect(alice), connect(bob)
    expected = [f"number {number}" for number in range(200)]
    for number, text in enumerate(expected):
        sender.message(f"m{number}", bob.user, text)
    seqs = [int(sender.expect("sent")["seq"]) for _ in expected]
    assert seqs == sorted(seqs)
    events = [recipient.expect("event") for _ in expected]
    assert [event["message"]["body"]["text"] for event in events] == expected


def test_text_of_every_kind_arrives_unchanged(friends, connect):
    alice, bob = friends
    sender, recipient = connect(alice), connect(bob)
    limit = sender.welcome["limits"]["textBytesMax"]
    cases = ["é", "你好", "🙂" * 10, '"quoted" \\ and / too', "line\nbreak\ttab\x01\x7f", "\u202e", "x" * limit]
    for number, text in enumerate(cases):
        sender.message(f"m{number}", bob.user, text)
        sender.expect("sent")
        assert recipient.expect("event")["message"]["body"]["text"] == text


def test_resume_replays_what_came_while_away_and_nothing_else(friends, connect):
    alice, bob = friends
    sender = connect(alice)
    for number in range(300):
        sender.message(f"m{number}", bob.user, f"number {number}")
    for _ in range(300):
        sender.expect("sent")
    head = bob.head()
    for since in (0, head - 150, head - 1, head):
        socket = connect(bob, since=since)
        assert int(socket.welcome["headSeq"]) == head
        seqs = [int(socket.expect("event")["seq"]) for _ in range(head - since)]
        assert seqs == list(range(since + 1, head + 1))
        assert socket.is_alive()
        assert socket.backlog == []


def test_log_out_closes_the_devices_sockets_within_a_second_and_no_others(alice, connect):
    staying = connect(alice)

    def log_out():
        phone = alice.another_device()
        leaving, leaving_too = connect(phone), connect(phone)
        started = time.monotonic()
        phone.ok("POST", "/v1/auth/logout")
        assert leaving.expect_close() == 4503
        assert leaving_too.expect_close() == 4503
        seconds = time.monotonic() - started
        assert staying.is_alive()
        assert phone.call("GET", "/v1/profiles/me")[0] == 401
        assert alice.call("GET", "/v1/profiles/me")[0] == 200
        status, answer = phone.api.call("POST", "/v1/auth/refresh", {"refreshToken": phone.refresh})
        assert (status, answer["error"]["code"]) == (401, "UNAUTHENTICATED")
        with pytest.raises(Closed) as closed:
            connect(phone, since=0)
        assert closed.value.code == 4501
        return seconds

    assert within_a_second(log_out)


def test_refresh_token_used_twice_ends_the_device(alice, connect):
    def refresh(token):
        return alice.api.call("POST", "/v1/auth/refresh", {"refreshToken": token})

    socket = connect(alice)
    _, first = refresh(alice.refresh)
    # An answer that may have been lost comes again, until its token has been used.
    assert refresh(alice.refresh)[1]["refreshToken"] == first["refreshToken"]
    _, second = refresh(first["refreshToken"])
    assert socket.is_alive()
    for token in (alice.refresh, first["refreshToken"], second["refreshToken"]):
        assert refresh(token)[0] == 401
    assert socket.expect_close() == 4503


@pytest.mark.parametrize("how", ["revoke", "log out others", "change password"])
def test_devices_ended_from_another_lose_their_sockets_within_a_second(how, api, connect):
    def end():
        alice = Account(api)
        phone = alice.another_device()
        ending, staying = connect(phone), connect(alice)
        started = time.monotonic()
        if how == "revoke":
            alice.ok("DELETE", f"/v1/devices/{phone.device}")
        elif how == "log out others":
            assert alice.ok("POST", "/v1/auth/logout-others")["ended"] == 1
        else:
            alice.ok("POST", "/v1/auth/password", {"password": PASSWORD, "newPassword": "another horse"})
        assert ending.expect_close() == 4503
        seconds = time.monotonic() - started
        assert staying.is_alive()
        assert phone.call("GET", "/v1/account")[0] == 401
        assert [device["id"] for device in alice.ok("GET", "/v1/devices")["devices"]] == [alice.device]
        return seconds

    assert within_a_second(end)


def await_change(socket, change):
    """Until the socket is told of a change between friends: whatever its node remembered of them is forgotten by then."""
    socket.expect("event", where=lambda event: event.get("friend", {}).get("change") == change)


def test_end_of_a_friendship_ends_messages_on_open_sockets(friends, connect):
    alice, bob = friends
    socket = connect(alice)
    socket.message("m1", bob.user, "friends")
    socket.expect("sent")
    bob.ok("DELETE", f"/v1/friends/{alice.user}")
    await_change(socket, "REMOVED")
    socket.message("m2", bob.user, "no longer")
    assert socket.expect("error")["code"] == "PERMISSION_DENIED"
    assert texts(bob.log()) == ["friends"]


def test_retry_after_the_end_of_a_friendship_gets_the_first_answer(friends, connect):
    alice, bob = friends
    socket = connect(alice)
    socket.message("m1", bob.user, "friends")
    first = socket.expect("sent")
    bob.ok("DELETE", f"/v1/friends/{alice.user}")
    await_change(socket, "REMOVED")
    for retrying in (socket, connect(alice)):
        retrying.message("m1", bob.user, "friends")
        assert retrying.expect("sent") == first
    # The id is the device's own: what another device sent is no retry of it.
    other = connect(alice.another_device())
    other.message("m1", bob.user, "friends")
    assert other.expect("error")["code"] == "PERMISSION_DENIED"
    assert texts(bob.log()) == ["friends"]


def test_new_friendship_allows_messages_on_open_sockets(alice, bob, connect):
    socket = connect(alice)
    socket.message("m1", bob.user, "too early")
    assert socket.expect("error")["code"] == "PERMISSION_DENIED"
    alice.befriend(bob)
    await_change(socket, "ACCEPTED")
    socket.message("m1", bob.user, "now")
    assert socket.expect("sent")["clientId"] == "m1"
    assert texts(bob.log()) == ["now"]
