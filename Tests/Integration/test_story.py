"""The whole story, as two people live it, with the server killed in the middle."""

from contextlib import ExitStack

from wire import Account, Api, Socket, assert_gap_free, texts


def test_register_befriend_chat_kill_resume(own_server):
    api = Api(own_server.http)
    alice, bob = Account(api), Account(api)

    asked = alice.ok("POST", "/v1/friend-requests", {"to": bob.user, "message": "it's me"})
    assert (asked["from"], asked["to"], asked["state"]) == (alice.user, bob.user, "PENDING")
    pending = bob.ok("GET", "/v1/friend-requests")["requests"]
    assert [request["id"] for request in pending] == [asked["id"]]
    accepted = bob.ok("POST", f"/v1/friend-requests/{asked['id']}:accept")
    assert accepted["state"] == "ACCEPTED"
    assert [friend["userId"] for friend in alice.ok("GET", "/v1/friends")["friends"]] == [bob.user]
    assert [friend["userId"] for friend in bob.ok("GET", "/v1/friends")["friends"]] == [alice.user]

    with Socket(own_server.ws, alice.token) as here, Socket(own_server.ws, bob.token) as there:
        for number in range(5):
            here.message(f"a{number}", bob.user, f"from alice {number}")
            there.message(f"b{number}", alice.user, f"from bob {number}")
        seen_by_alice = max(int(here.expect("sent")["seq"]) for _ in range(5))
        for _ in range(5):
            there.expect("sent")
        event = there.expect("event", where=lambda content: "message" in content)
        assert event["message"]["from"] == alice.user
        assert event["message"]["to"] == bob.user
        assert "fromDevice" not in event["message"], "a sender's device is nobody else's business"
        bob_has = int(event["seq"])
        there.send({"ack": {"seq": str(bob_has)}})
        assert there.is_alive()
        own_server.kill()

    own_server.start()
    # The token is good on the new process; everything after what bob has comes once, in order, without asking.
    with Socket(own_server.ws, bob.token, since=bob_has) as there:
        head = int(there.welcome["headSeq"])
        events = [there.expect("event") for _ in range(head - bob_has)]
        assert [int(event["seq"]) for event in events] == list(range(bob_has + 1, head + 1))
        with Socket(own_server.ws, alice.token, since=seen_by_alice) as here:
            # The retry of what was answered before the crash gets the first answer again.
            here.message("a4", bob.user, "from alice 4")
            assert int(here.expect("sent")["seq"]) <= int(here.welcome["headSeq"])
            here.message("a5", bob.user, "after the crash")
            here.expect("sent")
        after = there.expect("event", where=lambda content: "message" in content)
        assert after["message"]["body"]["text"] == "after the crash"
        assert int(after["seq"]) == head + 1

    for account in (alice, bob):
        log = account.log()
        assert_gap_free(log)
        assert texts(log, alice.user) == [f"from alice {number}" for number in range(5)] + ["after the crash"]
        assert texts(log, bob.user) == [f"from bob {number}" for number in range(5)]


def test_sigterm_drains_and_ends_with_zero(own_server):
    alice = Account(Api(own_server.http))
    with Socket(own_server.ws, alice.token) as socket:
        assert own_server.stop() == 0
        assert socket.expect_close() == 4000
    assert [kind for kind, _ in socket.backlog][:1] in ([], ["reconnect"])


def test_a_drain_records_who_was_there_until_then(own_server):
    accounts = [Account(Api(own_server.http)) for _ in range(5)]
    with ExitStack() as sockets:
        for account in accounts:
            sockets.enter_context(Socket(own_server.ws, account.token))
        assert own_server.stop() == 0
    assert " warning " not in own_server.log()
    own_server.start()
    for account in accounts:
        assert "lastSeen" in account.ok("GET", "/v1/profiles/me")


def test_data_survives_a_drained_restart(own_server):
    api = Api(own_server.http)
    alice = Account(api)
    assert alice.ok("PATCH", "/v1/profiles/me", {"nickname": "Alice"})["nickname"] == "Alice"
    own_server.stop()
    own_server.start()
    assert alice.ok("GET", "/v1/profiles/me")["nickname"] == "Alice"
    renewed = api.ok("POST", "/v1/auth/refresh", {"refreshToken": alice.refresh})
    assert renewed["userId"] == alice.user
    assert renewed["refreshToken"] != alice.refresh
