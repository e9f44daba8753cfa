"""Postgres goes away under a running server and comes back: sends are refused for now, nobody is thrown out."""

import time

from wire import Account, Api, Socket, assert_gap_free, texts


def send_until_sent(socket, client_id, to, text, deadline):
    """Retries under one client id, as the protocol asks; the answer."""
    while True:
        socket.message(client_id, to, text)
        kind, content = socket.receive()
        while kind not in ("sent", "error"):
            kind, content = socket.receive()
        if kind == "sent":
            return content
        assert content["code"] in ("UNAVAILABLE", "RESOURCE_EXHAUSTED")
        assert time.monotonic() < deadline, "the server does not go on by itself"
        time.sleep(0.1)


def test_postgres_stops_and_comes_back(outage):
    postgres, server = outage
    alice, bob = Account(Api(server.http)), Account(Api(server.http))
    alice.befriend(bob)
    with Socket(server.ws, alice.token) as here, Socket(server.ws, bob.token) as there:
        here.message("m1", bob.user, "before")
        here.expect("sent")

        postgres.stop()
        for number in range(3):
            here.message(f"d{number}", bob.user, f"during {number}")
            error = here.expect("error")
            assert error["code"] == "UNAVAILABLE"
            assert error["clientId"] == f"d{number}"
            assert error["retryAfterMs"] > 0
        assert here.is_alive() and there.is_alive()
        assert not server.is_ready()
        status, answer = alice.call("GET", "/v1/friends")
        assert (status, answer["error"]["code"]) == (503, "UNAVAILABLE")

        postgres.start()
        deadline = time.monotonic() + 15
        for number in range(3):
            send_until_sent(here, f"d{number}", bob.user, f"during {number}", deadline)
        server.wait_until_ready(timeout=15)
        expected = ["before", "during 0", "during 1", "during 2"]
        for text in expected:
            event = there.expect("event", where=lambda content: "message" in content)
            assert event["message"]["body"]["text"] == text

    for account in (alice, bob):
        log = account.log()
        assert_gap_free(log)
        assert texts(log) == expected
