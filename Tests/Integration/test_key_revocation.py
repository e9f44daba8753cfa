"""A signing key in wrong hands: taken back by a command, it is worth nothing on any node within a second."""

import base64
import json
import os
import pty
import subprocess
import time

import grpc
import pytest
from doors import PACKAGE
from server import BINARY, ROOT, clean_environment, nodes_of
from wire import Account, Api, Closed, Socket, within_a_second


@pytest.fixture
def nodes(postgres_url):
    # Nothing here waits for the nodes' own look at the keys.
    setting = {"RINGWAY_MAINTENANCE_SECONDS": "60"}
    with nodes_of(postgres_url, setting, setting) as servers:
        yield servers


def keys(server, *words, **run):
    return subprocess.run(
        [BINARY, "keys", *words], cwd=ROOT, env=clean_environment(RINGWAY_POSTGRES_URL=server.postgres_url),
        capture_output=True, text=True, timeout=30, check=False, **{"stdin": subprocess.DEVNULL} | run)


def listed(server):
    done = keys(server, "list")
    assert done.returncode == 0, done.stderr
    return [tuple(line.split()[:2]) for line in done.stdout.splitlines()]


def signer(account):
    header = account.token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]


def published(server):
    return [key["kid"] for key in Api(server.http).ok("GET", "/.well-known/jwks.json")["keys"]]


def wait_until(holds):
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


def grpc_status(server, token):
    with grpc.insecure_channel(f"127.0.0.1:{server.ports['grpc']}") as channel:
        call = channel.unary_unary(f"/{PACKAGE}AuthService/GetAccount")
        try:
            call(b"", timeout=5, metadata=[("authorization", f"Bearer {token}")])
            return "OK"
        except grpc.RpcError as error:
            return error.code().name


def test_what_is_no_key_or_not_meant_is_not_revoked(nodes):
    ((kid, state),) = listed(nodes[0])
    assert state == "signs"
    unknown = keys(nodes[0], "revoke", "nobody", "--yes")
    assert unknown.returncode == 1 and "there is no key nobody; ringway keys list" in unknown.stderr
    assert keys(nodes[0], "revoke", "--yes").returncode == 64
    dashed = keys(nodes[0], "revoke", "--yes", "--", "-nobody")
    assert dashed.returncode == 1 and "there is no key -nobody" in dashed.stderr
    unasked = keys(nodes[0], "revoke", kid)
    assert unasked.returncode == 64 and "--yes" in unasked.stderr
    terminal, other = pty.openpty()
    os.write(terminal, b"no\n")
    refused = keys(nodes[0], "revoke", kid, stdin=other)
    assert refused.returncode == 1 and "[y/N]" in refused.stdout and "nothing was revoked" in refused.stderr
    assert listed(nodes[0]) == [(kid, "signs")]
    os.write(terminal, b"y\n")
    assert keys(nodes[0], "revoke", kid, stdin=other).returncode == 0
    os.close(terminal)
    os.close(other)
    again = keys(nodes[0], "revoke", kid, "--yes")
    assert again.returncode == 1 and "has been revoked before" in again.stderr


def test_its_tokens_are_refused_and_its_sockets_close_on_every_node_within_a_second(nodes):
    one, other = nodes

    def revoke():
        alice = Account(Api(one.http))
        old = signer(alice)
        # Both nodes have verified the token, and remember it.
        sockets = [Socket(node.ws, alice.token) for node in nodes]
        for node in nodes:
            Api(node.http).ok("GET", "/v1/account", token=alice.token)
            assert grpc_status(node, alice.token) == "OK"
        done = keys(one, "revoke", old, "--yes")
        assert done.returncode == 0, done.stderr
        new = done.stdout.split()[2]
        started = time.monotonic()
        for node, socket in zip(nodes, sockets):
            wait_until(lambda: Api(node.http).call("GET", "/v1/account", token=alice.token)[0] == 401)
            wait_until(lambda: published(node) == [new])
            assert socket.expect_close() == 4501
        seconds = time.monotonic() - started
        for node in nodes:
            assert grpc_status(node, alice.token) == "UNAUTHENTICATED"
            with pytest.raises(Closed) as closed:
                Socket(node.ws, alice.token)
            assert closed.value.code == 4501
        assert {(new, "signs"), (old, "revoked")} <= set(listed(one))
        # The device is no other: its refresh token brings one that is good everywhere.
        alice._take(Api(other.http).ok("POST", "/v1/auth/refresh", {"refreshToken": alice.refresh}))
        assert signer(alice) == new
        for node in nodes:
            Api(node.http).ok("GET", "/v1/account", token=alice.token)
            Socket(node.ws, alice.token).close()
        return seconds

    assert within_a_second(revoke)


def test_sockets_of_other_keys_stay(nodes):
    one, _ = nodes
    api = Api(one.http)
    before = Account(api)
    first = Socket(one.ws, before.token)
    assert keys(one, "revoke", signer(before), "--yes").returncode == 0
    assert first.expect_close() == 4501
    # One that signs no more, but whose tokens are good.
    older = Account(api)
    with Socket(one.ws, older.token) as kept:
        rotated = keys(one, "rotate", "--delay", "60")
        waiting = rotated.stdout.split()[1].rstrip(";")
        wait_until(lambda: waiting in published(one))
        assert keys(one, "revoke", waiting, "--yes").returncode == 0
        wait_until(lambda: published(one) == [signer(older)])
        time.sleep(0.5)
        assert kept.is_alive()
