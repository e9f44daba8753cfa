"""The cache as a client meets it: two nodes on one database answer what a node without a cache answers."""

import time
import urllib.request

import pytest
from server import nodes_of, run_serve
from wire import Account, Api


@pytest.fixture
def nodes(postgres_url):
    """Two nodes with a cache and one without, on one database."""
    memory, off = {"RINGWAY_CACHE": "memory"}, {"RINGWAY_CACHE": "off"}
    with nodes_of(postgres_url, memory, memory, off) as servers:
        yield servers


def figures(server):
    text = urllib.request.urlopen(f"http://127.0.0.1:{server.ports['ops']}/metrics", timeout=5).read().decode()
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("ringway_cache_"))
    return {name: int(value) for name, value in lines}


def answers(server, account):
    api = Api(server.http)
    return [api.ok("GET", path, token=account.token) for path in ("/v1/profiles/me", "/v1/settings", "/v1/friends")]


def test_nodes_answer_alike_after_every_change(nodes):
    writer, other, plain = nodes
    alice, bob = Account(Api(writer.http)), Account(Api(writer.http))
    changes = [
        lambda: alice.ok("PATCH", "/v1/profiles/me", {"nickname": "Ada"}),
        lambda: alice.ok("PATCH", "/v1/settings", {"privacy": {"find": {"kind": "NOBODY"}}}),
        lambda: alice.befriend(bob),
        lambda: alice.ok("PATCH", "/v1/profiles/me", {"signature": "on the way"}),
        lambda: alice.ok("DELETE", f"/v1/friends/{bob.user}"),
    ]
    for change in changes:
        for _ in range(3):
            answers(writer, alice), answers(other, alice)
        change()
        truth = answers(plain, alice)
        assert answers(writer, alice) == truth
        deadline = time.monotonic() + 5
        while answers(other, alice) != truth:
            assert time.monotonic() < deadline, "the other node never heard of the change"
    for server in (writer, other):
        seen = figures(server)
        for fact in ("profile", "settings", "friends"):
            assert seen[f'ringway_cache_hits_total{{fact="{fact}"}}'] > 0, fact
    assert figures(plain) == {}


def test_unknown_cache_is_refused():
    code, said = run_serve(["--cache", "disk"], {"RINGWAY_POSTGRES_URL": "postgresql://127.0.0.1:1/none"})
    assert code == 64
    assert "--cache must be auto, redis, memory or off, not disk" in said
