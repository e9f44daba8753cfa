"""A second client of Ringway, written from docs/protocol.md alone: HTTP over the standard library, WebSocket over the
`websockets` package. It shares no code with the server, so that a mistake in one can't hide in the other.

A Socket belongs to one thread.
"""

import http.client
import json
import secrets
import time

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

PASSWORD = "correct horse battery"


class Closed(Exception):
    """The server closed the socket with this code."""

    def __init__(self, code):
        super().__init__(f"closed with {code}")
        self.code = code


class Api:
    """The HTTP API at one port. Every call opens its own connection, so a restarted server is no special case."""

    def __init__(self, port):
        self.port = port

    def raw(self, method, path, body=None, headers=None, source="127.0.0.1"):
        """Status, headers and body as they came."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15, source_address=(source, 0))
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def call(self, method, path, body=None, token=None):
        headers = {}
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        status, _, answer = self.raw(method, path, body, headers)
        return status, json.loads(answer) if answer else {}

    def ok(self, method, path, body=None, token=None):
        status, answer = self.call(method, path, body, token)
        assert status == 200, f"{method} {path}: {status} {answer}"
        return answer

    def inbox(self, token):
        """A user's whole log, page by page."""
        events = []
        while True:
            since = events[-1]["seq"] if events else "0"
            page = self.ok("GET", f"/v1/inbox?since={since}&limit=1000", token=token)
            events += page.get("events", [])
            if not page.get("events") or events[-1]["seq"] == page["headSeq"]:
                return events


class Account:
    """A user with one logged-in device."""

    def __init__(self, api, username=None, platform="linux"):
        self.api = api
        self.username = username or "u" + secrets.token_hex(8)
        self._platform = platform
        self._take(self._enter("register"))

    def _enter(self, door):
        device = {"name": f"{self.username}'s device", "platform": self._platform}
        body = {"username": self.username, "password": PASSWORD, "device": device}
        return self.api.ok("POST", f"/v1/auth/{door}", body)

    def _take(self, answer):
        self.user = answer["userId"]
        self.device = answer["deviceId"]
        self.token = answer["accessToken"]
        self.refresh = answer["refreshToken"]

    def another_device(self):
        """The same user, logged in on a second device."""
        other = object.__new__(Account)
        other.api, other.username, other._platform = self.api, self.username, "ios"
        other._take(other._enter("login"))
        return other

    def ok(self, method, path, body=None):
        return self.api.ok(method, path, body, self.token)

    def call(self, method, path, body=None):
        return self.api.call(method, path, body, self.token)

    def befriend(self, other):
        request = self.ok("POST", "/v1/friend-requests", {"to": other.user, "message": "hello"})
        other.ok("POST", f"/v1/friend-requests/{request['id']}:accept")

    def log(self):
        return self.api.inbox(self.token)

    def head(self):
        return int(self.ok("GET", "/v1/inbox?since=0&limit=1").get("headSeq", "0"))


class Socket:
    """One WebSocket, over TLS to a server called localhost where there is a `trust` (an SSLContext). Frames that a
    caller does not wait for stay in `backlog`, in their order. Where there is an `unread_max` it reads no further than
    that many frames ahead of its caller."""

    def __init__(
        self, port, token=None, since=0, subprotocol="ringway.v1.json", source="127.0.0.1", trust=None, unread_max=None
    ):
        self.backlog = []
        secure = {"ssl": trust, "server_hostname": "localhost"} if trust else {}
        self.ws = connect(
            f"{'wss' if trust else 'ws'}://127.0.0.1:{port}/ws",
            **secure,
            subprotocols=[subprotocol],
            compression=None,
            proxy=None,
            ping_interval=None,
            open_timeout=10,
            close_timeout=1,
            max_queue=unread_max,
            legacy=True,
            source_address=(source, 0),
        )
        if token is not None:
            self.send({"hello": {"token": token, "sinceSeq": str(since), "client": "integration"}})
            self.welcome = self.expect("welcome")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.ws.close()

    def send(self, frame):
        self.raw(json.dumps(frame))

    def raw(self, data, text=None):
        try:
            self.ws.send(data, text=text)
        except ConnectionClosed as closed:
            raise Closed(closed.rcvd.code if closed.rcvd else 1006) from None

    def message(self, client_id, to, text):
        self.send({"send": {"clientId": client_id, "to": to, "body": {"text": text}}})

    def receive(self, timeout=10):
        """The next frame as (kind, content). TimeoutError when none comes, Closed when none will."""
        if self.backlog:
            return self.backlog.pop(0)
        return self._read(timeout)

    def _read(self, timeout):
        try:
            frame = json.loads(self.ws.recv(timeout=timeout))
        except ConnectionClosed as closed:
            raise Closed(closed.rcvd.code if closed.rcvd else 1006) from None
        ((kind, content),) = frame.items()
        return kind, content

    def expect(self, kind, timeout=10, where=lambda content: True):
        """The next frame of a kind; the others stay for later."""
        for index, (found, content) in enumerate(self.backlog):
            if found == kind and where(content):
                del self.backlog[index]
                return content
        deadline = time.monotonic() + timeout
        while True:
            found, content = self._read(max(0.001, deadline - time.monotonic()))
            if found == kind and where(content):
                return content
            self.backlog.append((found, content))

    def expect_close(self, timeout=10):
        """The code with which the server closes; what came before it is in the backlog."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.backlog.append(self._read(max(0.001, deadline - time.monotonic())))
            except Closed as closed:
                return closed.code

    def is_alive(self):
        """The server answers on this socket."""
        self.send({"ping": {}})
        return self.expect("pong") == {}

    def drain(self, quiet=0.5):
        """Everything that comes until nothing has come for a while."""
        frames = []
        while True:
            try:
                frames.append(self.receive(timeout=quiet))
            except TimeoutError:
                return frames


def texts(events, sender=None):
    """The texts of the messages among events, in their order."""
    messages = [event["message"] for event in events if "message" in event]
    return [message["body"]["text"] for message in messages if sender in (None, message["from"])]


def assert_gap_free(events):
    seqs = [int(event["seq"]) for event in events]
    assert seqs == list(range(1, len(seqs) + 1)), "the log has a gap or a repetition"


def is_ended(connection, within=4):
    """Whether the server ends a socket on which nothing was said, within so many seconds."""
    connection.settimeout(within)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def within_a_second(attempt):
    """Whether what an attempt waits for, and returns the seconds of, comes so soon. Our own machine may stand still for
    longer, but not in each of three attempts."""
    return any(attempt() < 1 for _ in range(3))
