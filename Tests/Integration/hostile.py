"""What the tests of bad input share: a witness that nothing has changed and little was spent, and doors that take bytes
as they are.

`witness` asks the database itself: every row of every service's tables is the same before and after. What the server
may spend is counted in memory; that it answers in time is held by the timeouts of the doors.
"""

import json
import os
from contextlib import contextmanager
from pathlib import Path

import grpc
from doors import METHODS, PACKAGE
from google.protobuf import message_factory
from websockets.exceptions import ConnectionClosed
from wire import Api, Closed, Socket

# More than any request may take, and less than what a lie about a size would.
MEMORY_MAX = 64 * 1024 * 1024
# What changes by itself: a device that uses its token is seen, and a socket's end is noted later.
VOLATILE = {"profile.last_seen", "inbox.cursors"}


def _digest(database):
    """One line a table. Made of every row, in no order."""
    tables = database.sql("""
        SELECT schemaname || '.' || tablename FROM pg_tables
        WHERE schemaname IN ('auth', 'profile', 'friendship', 'inbox') ORDER BY 1""").split()
    parts = [
        f"SELECT '{table}', count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) FROM {table} AS t"
        for table in tables if table not in VOLATILE
    ]
    return database.sql(" UNION ALL ".join(parts) + " ORDER BY 1")


def _status(server, name):
    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"{name} is not in the process's status")


@contextmanager
def witness(server):
    """Whatever is done inside changes no row and takes no memory to speak of."""
    before = _digest(server.database)
    # The kernel forgets how large the process has been.
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")
    size = _status(server, "VmRSS")
    yield
    assert _status(server, "VmHWM") - size < MEMORY_MAX
    assert _digest(server.database) == before


def processor_seconds(server):
    """What the server's threads have computed so far."""
    after_the_name = Path(f"/proc/{server.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, after_the_name[11:13])) / os.sysconf("SC_CLK_TCK")


def http(server, token, verb, path, body):
    """A body as it is: status, code, message. The answer is one of the documented shape."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    status, _, answer = Api(server.http).raw(verb, path, body, headers)
    content = json.loads(answer) if answer else {}
    error = content.get("error", {})
    assert status == 200 or error["requestId"] and error["message"], (status, answer)
    return status, error.get("code", "OK"), error.get("message", "")


def rpc(server, token, method, body, timeout=10):
    """The bytes of one request message as they are: code and message."""
    with grpc.insecure_channel(f"127.0.0.1:{server.ports['grpc']}") as channel:
        call = channel.unary_unary(f"/{PACKAGE}{method}", request_serializer=bytes, response_deserializer=bytes)
        try:
            call(body, timeout=timeout, metadata=[("authorization", f"Bearer {token}")] if token else [])
        except grpc.RpcError as error:
            return error.code().name, error.details()
    return "OK", ""


def socket_json(server, token, method, body):
    """A call whose `json` is this text: its code and message. Closed is raised where the frame itself is none."""
    with Socket(server.ws, token, 0) as socket:
        socket.raw('{"call":{"id":"c","method":"%s%s","json":%s}}' % (PACKAGE, method, body))
        error = socket.expect("reply").get("error", {})
        return error.get("code", "OK"), error.get("message", "")


def frame_class(kind):
    """ClientFrame or ServerFrame, as the contract has it."""
    file = METHODS["GatewayService/LocateGateway"].containing_service.file
    return message_factory.GetMessageClass(file.message_types_by_name[kind])


class ProtoSocket:
    """A socket of the binary subprotocol, on which frames are bytes."""

    def __init__(self, server, token):
        self._socket = Socket(server.ws, subprotocol="ringway.v1.proto")
        hello = frame_class("ClientFrame")()
        hello.hello.token = token
        assert self.exchange(hello.SerializeToString()).HasField("welcome")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def exchange(self, frame):
        """What comes after a frame of this content."""
        self._socket.raw(frame)
        return self.receive()

    def receive(self):
        """The next frame that is no event."""
        while True:
            try:
                answer = frame_class("ServerFrame").FromString(self._socket.ws.recv(timeout=10))
            except ConnectionClosed as closed:
                raise Closed(closed.rcvd.code if closed.rcvd else 1006) from None
            if not answer.HasField("event"):
                return answer


def socket_proto(server, token, method, body):
    """A call on the binary subprotocol with the bytes of a request."""
    frame = frame_class("ClientFrame")()
    frame.call.id, frame.call.method, frame.call.proto = "c", PACKAGE + method, body
    with ProtoSocket(server, token) as socket:
        reply = socket.exchange(frame.SerializeToString()).reply
        return (reply.error.code, reply.error.message) if reply.HasField("error") else ("OK", "")
