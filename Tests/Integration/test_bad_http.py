"""HTTP that has no end: heads, bodies and what lies between them. Each is ended in bounded memory, long before 64 MiB have
been taken, and the server goes on."""

import socket

import pytest
from hostile import witness

SENT_MAX = 96 * 1024 * 1024
POST = b"POST /v1/friend-requests HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

# What begins a request, and what then comes for ever.
ENDLESS = {
    "a method": (b"", b"A" * 1024),
    "a path": (b"GET /", b"a" * 1024),
    "a query": (b"GET /v1/inbox?", b"since=1&" * 128),
    "a version": (b"GET / HTTP/", b"1" * 1024),
    "a header's name": (b"GET / HTTP/1.1\r\n", b"a" * 1024),
    "a header's value": (b"GET / HTTP/1.1\r\nX: ", b"a" * 1024),
    "headers": (b"GET / HTTP/1.1\r\n", b"X-Y: z\r\n" * 128),
    "empty headers": (b"GET / HTTP/1.1\r\n", b"a:\r\n" * 256),
    "spaces before a value": (b"GET / HTTP/1.1\r\nX:", b" " * 1024),
    "line breaks before a request": (b"", b"\r\n" * 512),
    "the length of a chunk": (CHUNKED, b"0" * 1024),
    "an extension of a chunk": (CHUNKED + b"1;", b"a" * 1024),
    "chunks of a byte": (CHUNKED, b"1\r\n \r\n" * 256),
    "trailers": (CHUNKED + b"0\r\n", b"X-Y: z\r\n" * 128),
    "a trailer": (CHUNKED + b"0\r\nX: ", b"a" * 1024),
    "requests whose answers are not read": (b"", b"GET /v1/nowhere HTTP/1.1\r\nHost: x\r\n\r\n" * 32),
}


def outcome(connection, begin, more):
    """How much was taken, and what came back; None for the latter while the connection stays open without an answer."""
    sent = 0
    try:
        connection.sendall(begin)
        while sent < SENT_MAX:
            connection.sendall(more * 16)
            sent += len(more) * 16
    except OSError:
        pass
    try:
        return sent, connection.recv(65536)
    except ConnectionResetError:
        return sent, b""
    except TimeoutError:
        return sent, None


@pytest.mark.parametrize("name", ENDLESS)
def test_what_has_no_end_is_ended(server, api, name):
    with witness(server), socket.create_connection(("127.0.0.1", server.http), timeout=5) as connection:
        sent, answer = outcome(connection, *ENDLESS[name])
        assert sent < SENT_MAX
        # Refused, or closed without a word; a fault of the server's it is not.
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
        assert api.raw("GET", "/v1/nowhere")[0] == 404
