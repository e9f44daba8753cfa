"""Protobuf that is none, and gRPC that lies about its lengths or never ends: a documented status in bounded time and
memory, over gRPC and in a socket's `call`, and nothing has changed."""

import socket
import struct
import time

import grpc
import h2.config
import h2.connection
import h2.events
import pytest
from doors import PACKAGE
from hostile import ProtoSocket, rpc, socket_proto, witness
from wire import Closed

UPDATE = "ProfileService/UpdateMyProfile"
GET = (PACKAGE + "ProfileService/GetMyProfile").encode()


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number, wire_type):
    return varint(number << 3 | wire_type)


def group(depth):
    """Groups inside of groups, of a field that no message has."""
    return field(999, 3) * depth + field(999, 4) * depth


BROKEN = {
    "cut inside a length": field(1, 2) + b"\xff",
    "cut inside a text": field(1, 2) + varint(20) + b"only ten..",
    "cut inside a varint": field(7, 0) + b"\xff\xff",
    "a length of 2 GB": field(1, 2) + varint(2**31 - 1) + b"short",
    "a length of 2 GB in an unknown field": field(999, 2) + varint(2**31 - 1) + b"short",
    "a length of 2^64 - 1": field(1, 2) + varint(2**64 - 1) + b"short",
    "a varint of 11 bytes": field(7, 0) + b"\xff" * 10 + b"\x01",
    "field number 0": field(0, 0) + b"\x01",
    "wire type 6": bytes([1 << 3 | 6]) + b"\x01",
    "a group that does not end": field(999, 3) * 3,
    "a group that was not begun": field(999, 4),
    "1,000 groups deep": group(1_000),
    "15,000 groups deep": group(15_000),
    "text that is no UTF-8": field(1, 2) + varint(2) + b"\xc3\x28",
    "noise": bytes(range(255, 0, -1)) * 8,
}


@pytest.mark.parametrize("name", BROKEN)
def test_bytes_that_are_no_message(server, alice, name):
    with witness(server):
        for door in (rpc, socket_proto):
            code, message = door(server, alice.token, UPDATE, BROKEN[name])
            assert code == "INVALID_ARGUMENT", (door.__name__, message)
            # Nothing of the program is told.
            assert "swift" not in message.lower() and "error" not in message.lower()


def test_bytes_that_are_no_message_without_a_token(server):
    with witness(server):
        for method in ("AuthService/LogIn", "AuthService/Refresh", "AuthService/Register"):
            for body in BROKEN.values():
                assert rpc(server, None, method, body)[0] == "INVALID_ARGUMENT"


def deep_struct(depth):
    """google.protobuf.Struct { "a": { "a": ... } }, which is what a call's `json` is."""
    content = b""
    for _ in range(depth):
        value = field(5, 2) + varint(len(content)) + content
        entry = field(1, 2) + b"\x01a" + field(2, 2) + varint(len(value)) + value
        content = field(1, 2) + varint(len(entry)) + entry
    return content


def nested_call(depth):
    """A frame whose call has a Struct of this depth: a message inside of a message inside of a message."""
    inner = deep_struct(depth)
    call = field(1, 2) + b"\x01c" + field(2, 2) + varint(len(GET)) + GET + field(4, 2) + varint(len(inner)) + inner
    return field(5, 2) + varint(len(call)) + call


@pytest.mark.parametrize("depth", [60, 1_000, 4_500])
def test_frame_nested_beyond_measure_is_no_frame(server, alice, depth):
    """The last one fills a frame."""
    with witness(server), ProtoSocket(server, alice.token) as socket:
        assert socket.exchange(nested_call(depth)).error.code == "INVALID_ARGUMENT"
        with pytest.raises(Closed) as closed:
            socket.receive()
    assert closed.value.code == 4500


def test_frame_nested_within_measure_is_taken(server, alice):
    """So that the refusal above has no other reason than its depth."""
    with ProtoSocket(server, alice.token) as socket:
        assert not socket.exchange(nested_call(40)).reply.HasField("error")


class Stream:
    """One HTTP/2 request on a connection of its own, whose frames a test writes itself."""

    def __init__(self, server, method, token=None):
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.socket = socket.create_connection(("127.0.0.1", server.ports["grpc"]), timeout=30)
        self.connection.initiate_connection()
        headers = [(":method", "POST"), (":scheme", "http"), (":path", f"/{PACKAGE}{method}"), (":authority", "localhost"),
                   ("content-type", "application/grpc"), ("te", "trailers")]
        if token:
            headers.append(("authorization", f"Bearer {token}"))
        self.connection.send_headers(1, headers)
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def flush(self):
        self.socket.sendall(self.connection.data_to_send())

    def send(self, data, end=False):
        self.connection.send_data(1, data, end_stream=end)
        self.flush()

    def status(self):
        """The stream's grpc-status, or "reset"; "closed" when the connection ends without either."""
        while data := self.socket.recv(65536):
            for event in self.connection.receive_data(data):
                if isinstance(event, (h2.events.TrailersReceived, h2.events.ResponseReceived)):
                    found = dict(event.headers).get("grpc-status")
                    if found is not None:
                        return grpc_name(int(found))
                if isinstance(event, h2.events.StreamReset):
                    return "reset"
            self.flush()
        return "closed"


def grpc_name(number):
    return next(code.name for code in grpc.StatusCode if code.value[0] == number)


@pytest.mark.parametrize("length", [2**31 - 1, 2**32 - 1, 5 * 1024 * 1024])
def test_grpc_message_that_claims_to_be_huge(server, alice, length):
    with witness(server), Stream(server, UPDATE, alice.token) as stream:
        stream.send(struct.pack(">BI", 0, length) + b"x" * 100)
        assert stream.status() in ("RESOURCE_EXHAUSTED", "reset")


def test_grpc_message_that_is_cut_off(server, alice):
    with witness(server), Stream(server, UPDATE, alice.token) as stream:
        stream.send(struct.pack(">BI", 0, 100) + b"x" * 10, end=True)
        assert stream.status() in ("INTERNAL", "INVALID_ARGUMENT", "reset")


def test_grpc_call_without_a_message(server, alice):
    with witness(server), Stream(server, UPDATE, alice.token) as stream:
        stream.send(b"", end=True)
        assert stream.status() in ("UNIMPLEMENTED", "INTERNAL", "INVALID_ARGUMENT")


@pytest.mark.parametrize("method", ["AuthService/LogIn", UPDATE])
def test_slow_grpc_body_ends_within_its_time(server, alice, method):
    with witness(server), Stream(server, method, alice.token) as stream:
        begun = time.monotonic()
        stream.send(struct.pack(">BI", 0, 1000) + b"x")
        assert stream.status() == "DEADLINE_EXCEEDED"
        assert time.monotonic() - begun < 20
