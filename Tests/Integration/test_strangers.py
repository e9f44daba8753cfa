"""Sockets that do not say who they are: an address has a share of them, and no more."""

import socket
import time

import pytest
from server import own_server_of
from websockets.exceptions import WebSocketException
from wire import Account, Api, Socket, is_ended

SHARE = 3


@pytest.fixture(params=["io_uring", "epoll"])
def guarded(request, postgres_url):
    """A server with one reactor, whose share of strangers an address is SHARE."""
    with own_server_of(postgres_url) as server:
        yield server.start(
            RINGWAY_IO=request.param, RINGWAY_REACTORS="1", RINGWAY_STRANGERS_PER_ADDRESS=str(SHARE))


def open_within(seconds, port, token):
    """A socket that says hello; the server may not have seen yet that a place is free."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return Socket(port, token, 0)
        except (WebSocketException, OSError):
            assert time.monotonic() < deadline


def test_share_of_strangers(guarded):
    """Who said hello is a stranger no longer; one stranger more than the share is closed, whoever is in stays."""
    account = Account(Api(guarded.http))
    members = [Socket(guarded.ws, account.token, 0) for _ in range(2 * SHARE)]
    strangers = [socket.create_connection(("127.0.0.1", guarded.ws)) for _ in range(SHARE)]
    with socket.create_connection(("127.0.0.1", guarded.ws)) as one_more:
        assert is_ended(one_more)
    elsewhere = socket.create_connection(("127.0.0.1", guarded.ws), source_address=("127.0.0.2", 0))
    assert not is_ended(elsewhere, within=0.3)   # let in, and waited for
    strangers.pop().close()
    members.append(open_within(5, guarded.ws, account.token))
    for member in members:
        assert member.is_alive()
    for each in [*strangers, elsewhere, *members]:
        each.close()


@pytest.mark.parametrize("carrier", ["io_uring", "epoll"])
def test_strangers_of_a_few_addresses_keep_nobody_out(postgres_url, carrier):
    """Twelve of sixteen places are all that strangers may hold; a newcomer takes one of theirs and says hello."""
    with own_server_of(postgres_url) as server:
        server.start(
            RINGWAY_IO=carrier, RINGWAY_REACTORS="1", RINGWAY_CONNECTIONS_MAX="16", RINGWAY_STRANGERS_PER_ADDRESS="4")
        account = Account(Api(server.http))
        held = [socket.create_connection(("127.0.0.1", server.ws), source_address=(f"127.0.0.{n}", 0)) for n in (2, 3, 4) * 4]
        members = [Socket(server.ws, account.token, 0) for _ in range(8)]
        assert all(is_ended(stranger) for stranger in held[:3])
        for member in members:
            assert member.is_alive()
        for each in [*held, *members]:
            each.close()
