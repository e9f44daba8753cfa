"""The gateway's figures at /metrics: what a message that is not yet whole holds, and what compressed ones became."""

import json
import time
import urllib.request

from websockets.sync.client import connect
from wire import Account, Api


def figure(server, name):
    """Its sum over the reactors."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{server.ports['ops']}/metrics", timeout=5).read().decode()
    return sum(int(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(f"ringway_{name}{{"))


def await_figure(server, name, wanted):
    deadline = time.monotonic() + 10
    while not wanted(figure(server, name)):
        assert time.monotonic() < deadline, (name, figure(server, name))
        time.sleep(0.02)


def test_a_compressed_message_is_counted_and_one_in_part_shows_until_it_is_whole(server):
    account = Account(Api(server.http))
    hello = json.dumps({"hello": {"token": account.token, "sinceSeq": "0", "client": "z" * 100}})
    url = f"ws://127.0.0.1:{server.ws}/ws"
    assert figure(server, "gathered_bytes") == 0
    before = figure(server, "inflated_bytes_total")
    with connect(url, subprotocols=["ringway.v1.json"], compression="deflate", proxy=None, legacy=True) as socket:
        socket.send(hello)
        assert "welcome" in json.loads(socket.recv(timeout=10))
        assert figure(server, "inflated_bytes_total") - before == len(hello)

        def in_parts():
            yield '{"ping"'
            await_figure(server, "gathered_bytes", lambda bytes_held: bytes_held > 0)
            yield ":{}}"

        socket.send(in_parts())
        assert json.loads(socket.recv(timeout=10)) == {"pong": {}}
        await_figure(server, "gathered_bytes", lambda bytes_held: bytes_held == 0)
