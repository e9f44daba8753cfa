"""The server is killed twenty times under load, and the history is checked afterwards against what was promised:

- what was answered with `sent` is in the sender's log at its seq and in the recipient's log, once each;
- nothing is there twice, and nothing is there that nobody sent;
- what one user sent to another keeps its order;
- every log is gap-free, and a client that only follows the protocol has all of its log in the end.
"""

import os
import random
import threading
import time
from collections import Counter, deque

from wire import Account, Api, Closed, Socket, assert_gap_free

USERS = 10
KILLS = 20
IN_FLIGHT = 4
SECONDS_MAX = 170


class Chatterer(threading.Thread):
    """One user: sends to its friends in turn, retries under the same client id until `sent`, and keeps its log."""

    def __init__(self, server, account, friends, stopping):
        super().__init__(daemon=True)
        self._server = server
        self._account = account
        self._friends = friends
        self._stopping = stopping
        self._unanswered = deque()
        self._next = 0
        self.sent = {}  # client id: (recipient, seq)
        self.refused = set()
        self.log = {}  # seq: text, or None for what is no message
        self.contiguous = 0
        self.failure = None

    def run(self):
        try:
            while not (self._stopping.is_set() and not self._unanswered):
                try:
                    self._session()
                except (Closed, OSError, TimeoutError, EOFError):
                    time.sleep(0.02)
                except Exception as error:
                    if not self._is_connection_trouble(error):
                        raise
                    time.sleep(0.02)
        except BaseException as error:
            self.failure = error

    @staticmethod
    def _is_connection_trouble(error):
        """The handshake of a server that dies under it fails in one of the library's own ways."""
        return type(error).__module__.startswith("websockets")

    def text(self, client_id):
        return f"{self._account.user}/{client_id}"

    def _session(self):
        with Socket(self._server.ws, self._account.token, since=self.contiguous) as socket:
            for client_id, to in self._unanswered:
                socket.message(client_id, to, self.text(client_id))
            while not (self._stopping.is_set() and not self._unanswered):
                while len(self._unanswered) < IN_FLIGHT and not self._stopping.is_set():
                    client_id, to = f"m{self._next}", self._friends[self._next % len(self._friends)]
                    self._next += 1
                    self._unanswered.append((client_id, to))
                    socket.message(client_id, to, self.text(client_id))
                if not self._take(*socket.receive(timeout=5)):
                    return
            self._follow(socket)

    def _take(self, kind, content):
        """False: the session must begin anew to send again what was refused."""
        if kind == "sent":
            client_id = content["clientId"]
            to = dict(self._unanswered).get(client_id)
            if to is not None:
                self._unanswered = deque(item for item in self._unanswered if item[0] != client_id)
                self.sent[client_id] = (to, int(content["seq"]))
            self._enter(int(content["seq"]), self.text(client_id))
        elif kind == "event":
            message = content.get("message")
            self._enter(int(content["seq"]), message["body"]["text"] if message else None)
        elif kind == "error":
            assert content["code"] in ("UNAVAILABLE", "RESOURCE_EXHAUSTED"), content
            self.refused.update(client_id for client_id, _ in self._unanswered)
            return False
        return kind != "reconnect"

    def _enter(self, seq, text):
        assert self.log.setdefault(seq, text) == text, f"seq {seq} is two different events"
        while self.contiguous + 1 in self.log:
            self.contiguous += 1

    def _follow(self, socket):
        """Takes what is still on its way."""
        for kind, content in socket.drain(quiet=0.3):
            self._take(kind, content)

    def catch_up(self):
        """One last resume, after which nothing is missing."""
        with Socket(self._server.ws, self._account.token, since=self.contiguous) as socket:
            head = int(socket.welcome.get("headSeq", "0"))
            while self.contiguous < head:
                self._take(*socket.receive())


def kill_at_random_moments(server, dice, chatterers):
    """Some die while they serve, some while they start."""
    for _ in range(KILLS):
        while_starting = dice.random() < 0.2
        if not while_starting:
            server.wait_until_ready()
        time.sleep(dice.uniform(0.05, 1.5) if not while_starting else dice.uniform(0, 0.3))
        server.kill()
        server.start(wait=False)
        assert not any(chatterer.failure for chatterer in chatterers), [c.failure for c in chatterers]
    server.wait_until_ready()


def check(account, chatterer, logs):
    log = logs[account.user]
    assert_gap_free(log)
    entries = {int(event["seq"]): event for event in log}
    own = Counter(event["message"]["clientId"] for event in log if event.get("message", {}).get("from") == account.user)
    assert set(own.values()) <= {1}, "a message is in its sender's log twice"
    assert set(own) == set(chatterer.sent), "the sender's log and the answers differ"
    for client_id, (to, seq) in chatterer.sent.items():
        message = entries[seq]["message"]
        assert (message["clientId"], message["to"]) == (client_id, to)
        assert message["body"]["text"] == chatterer.text(client_id)

    for friend in {to for to, _ in chatterer.sent.values()}:
        received = [
            event["message"]["body"]["text"] for event in logs[friend]
            if event.get("message", {}).get("from") == account.user
        ]
        promised = {chatterer.text(client_id) for client_id, (to, _) in chatterer.sent.items() if to == friend}
        assert len(received) == len(set(received)), "a message was delivered twice"
        assert set(received) == promised, "what was answered and what was delivered differ"
        numbers = [
            int(text.rpartition("/m")[2]) for text in received if text.rpartition("/")[2] not in chatterer.refused
        ]
        assert numbers == sorted(numbers), "the order of a sender was not kept"

    seen = {int(event["seq"]): event["message"]["body"]["text"] if "message" in event else None for event in log}
    assert chatterer.log == seen, "the client followed the protocol and has another log"


def test_history_after_twenty_kills(own_server):
    started = time.monotonic()
    seed = int(os.environ.get("INTEGRATION_SEED", random.SystemRandom().randrange(2**32)))
    print(f"INTEGRATION_SEED={seed}")
    dice = random.Random(seed)
    api = Api(own_server.http)
    accounts = [Account(api) for _ in range(USERS)]
    friends = {account.user: [] for account in accounts}
    for index, account in enumerate(accounts):
        for step in (1, 3):
            other = accounts[(index + step) % USERS]
            account.befriend(other)
            friends[account.user].append(other.user)
            friends[other.user].append(account.user)

    stopping = threading.Event()
    chatterers = [Chatterer(own_server, account, friends[account.user], stopping) for account in accounts]
    for chatterer in chatterers:
        chatterer.start()
    try:
        kill_at_random_moments(own_server, dice, chatterers)
        time.sleep(1)
    finally:
        stopping.set()
        for chatterer in chatterers:
            chatterer.join(timeout=max(1, started + SECONDS_MAX - time.monotonic()))
    assert not any(chatterer.is_alive() for chatterer in chatterers), "messages were never answered"
    assert not any(chatterer.failure for chatterer in chatterers), [chatterer.failure for chatterer in chatterers]

    for chatterer in chatterers:
        chatterer.catch_up()
    logs = {account.user: account.log() for account in accounts}
    for account, chatterer in zip(accounts, chatterers):
        check(account, chatterer, logs)
    total = sum(len(chatterer.sent) for chatterer in chatterers)
    print(f"{total} messages, {KILLS} kills, {time.monotonic() - started:.0f} s")
    assert total > 100 * USERS / 10
