"""Connections to the gRPC port that are not meant well: silent, slow, too many, or of more frames than a client has use for.
Each gets what docs/bad-input.md says, in bounded time and memory, and everyone else goes on."""

import concurrent.futures
import contextlib
import socket
import struct
import time

import grpc
import h2.config
import h2.connection
import h2.events
import pytest
from doors import PACKAGE
from hostile import witness
from http2 import (
    COMPRESSION_ERROR, ENHANCE_YOUR_CALM, NO_ERROR, PREFACE, PROTOCOL_ERROR, Raw, continuation, ping, reset, settings,
    settings_ack,
)
from hyperframe.frame import DataFrame, HeadersFrame, PingFrame, SettingsFrame
from server import own_server_of
from wire import Account, Api

CHECK = "grpc.health.v1.Health/Check"
REGISTER = PACKAGE + "AuthService/Register"
ACCOUNT = PACKAGE + "AuthService/GetAccount"


@pytest.fixture
def start(postgres_url):
    """Starts a server of the test's own with settings of the gRPC port; it ends with the test."""
    with contextlib.ExitStack() as servers:

        def go(proxies="", **values):
            server = servers.enter_context(own_server_of(postgres_url))
            settings = {f"RINGWAY_GRPC_{name}": str(value) for name, value in values.items()}
            return server.start(RINGWAY_TRUSTED_PROXIES=proxies, **settings)

        yield go


def check(port, source="127.0.0.1", timeout=10):
    """A client that is meant well asks for the node's health."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    if source == "127.0.0.1":
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            return channel.unary_unary("/" + CHECK)(b"", timeout=timeout) == b"\x08\x01"
    with Raw(port, source) as raw:
        return any(isinstance(frame, DataFrame) for frame in raw.call(1, CHECK, seconds=timeout))


def account_of(port, token):
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        return channel.unary_unary("/" + ACCOUNT)(b"", timeout=10, metadata=[("authorization", f"Bearer {token}")])


def metric(server, name):
    _, _, text = Api(server.ports["ops"]).raw("GET", "/metrics")
    return next(int(line.split()[1]) for line in text.decode().splitlines() if line.startswith(name + " "))


# MARK: slow and silent


def test_who_does_not_begin_to_speak_is_closed(server):
    """Nothing, half a preface, and a preface without the SETTINGS that belong to it: ten seconds."""
    port = server.ports["grpc"]
    with witness(server):
        begun = time.monotonic()
        slow = [Raw(port, begin=False) for _ in range(3)]
        slow[1].write(PREFACE[:12])
        slow[2].write(PREFACE)
        assert check(port)
        for raw in slow:
            raw.seconds_until_over(15)
            assert raw.is_over and 9 < time.monotonic() - begun < 14


@pytest.mark.parametrize("opening", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", bytes(24)])
def test_what_is_not_http_2_is_closed_at_once(server, opening):
    with Raw(server.ports["grpc"], begin=False) as raw:
        raw.write(opening.ljust(24, b"\0"))
        assert raw.seconds_until_over(5) < 3


def test_who_falls_silent_is_closed_and_who_answers_stays(start):
    port = start(KEEPALIVE_SECONDS=1).ports["grpc"]
    with Raw(port) as silent, Raw(port) as half:
        half.write(half.head(1, CHECK)[:20])
        # HEADERS that are to go on, and do not.
        assert silent.seconds_until_over(10) < 8
        assert half.seconds_until_over(10) < 8
    with Raw(start(KEEPALIVE_SECONDS=3).ports["grpc"]) as answering:
        end = time.monotonic() + 12
        while time.monotonic() < end:
            for frame in answering.frames(0.2, until=lambda frame: isinstance(frame, PingFrame)):
                if isinstance(frame, PingFrame) and "ACK" not in frame.flags:
                    answering.write(ping(frame.opaque_data, ack=True))
        assert not answering.is_over and answering.goaway is None


@pytest.mark.parametrize("limit", ["IDLE", "AGE"])
def test_idle_and_old_connections_are_told_to_go(start, limit):
    """GOAWAY without an error, twice, as RFC 9113 section 6.8 has it; who does not answer is closed all the same."""
    port = start(**{f"{limit}_SECONDS": 2}).ports["grpc"]
    with Raw(port) as polite:
        polite.write(settings_ack())
        for frame in polite.frames(6, until=lambda frame: isinstance(frame, PingFrame)):
            if isinstance(frame, PingFrame):
                polite.write(ping(frame.opaque_data, ack=True))
        assert polite.goaway == NO_ERROR
        assert polite.seconds_until_over(5) < 3
    # A client of the library notices nothing.
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = channel.unary_unary("/" + CHECK)
        for _ in range(4):
            assert ask(b"", timeout=10) == b"\x08\x01"
            time.sleep(1.2)


@pytest.mark.parametrize("goes_on", [True, False])
def test_who_does_not_go_is_closed(start, goes_on):
    """It goes on calling, or says nothing more, and never answers the PING behind the GOAWAY."""
    port = start(AGE_SECONDS=1, KEEPALIVE_SECONDS=3600).ports["grpc"]
    with Raw(port) as raw:
        begun = time.monotonic()
        if goes_on:
            for stream in range(1, 1000, 2):
                if raw.is_over or not raw.call(stream, CHECK, seconds=2):
                    break
                time.sleep(0.1)
        raw.frames(20)
        assert raw.goaways[0] == NO_ERROR
        assert raw.is_over and time.monotonic() - begun < 18


def test_a_busy_client_loses_no_call_when_its_connection_ages(start):
    """Calls that were begun before the client heard of the end are answered like any other."""
    port = start(AGE_SECONDS=1).ports["grpc"]
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = channel.unary_unary("/" + CHECK)
        end = time.monotonic() + 8

        def go(_):
            count = 0
            while time.monotonic() < end:
                assert ask(b"", timeout=10) == b"\x08\x01"
                count += 1
            return count

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(go, range(8))) > 100


def test_a_drain_does_not_wait_for_the_silent(start):
    server = start()
    port = server.ports["grpc"]
    with Raw(port, begin=False), Raw(port) as speaking:
        speaking.frames(1)
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < 25


# MARK: too many frames


def test_continuation_flood(server):
    with witness(server), Raw(server.ports["grpc"]) as raw:
        raw.frames(1, until=lambda frame: isinstance(frame, SettingsFrame))
        head = HeadersFrame(1, data=b"\x00\x03a-b\x01c").serialize()
        assert raw.write(head)
        sent = 0
        while sent < 100_000 and raw.write(continuation(1, b"\x00\x03a-b\x01c")):
            sent += 1
            if sent % 100 == 0 and raw.frames(0.01) and raw.is_over:
                break
        raw.frames(5)
        assert raw.is_over and sent < 100_000
        assert raw.goaway in (None, PROTOCOL_ERROR, ENHANCE_YOUR_CALM)
    assert check(server.ports["grpc"])


@pytest.mark.parametrize("kind", ["settings", "ping", "settings with a value"])
def test_flood_of_control_frames(server, kind):
    frame = {"settings": settings(), "ping": ping(), "settings with a value": settings({SettingsFrame.INITIAL_WINDOW_SIZE: 9})}
    with witness(server), Raw(server.ports["grpc"]) as raw:
        # Nothing is read meanwhile, so that whatever the server answers stays with it.
        sent = 0
        while sent < 1_000_000 and raw.write(frame[kind] * 100):
            sent += 100
        raw.frames(5)
        assert raw.is_over and sent < 1_000_000
        assert raw.goaway in (None, ENHANCE_YOUR_CALM)
    assert check(server.ports["grpc"])


def test_rapid_reset(server):
    """Calls that are begun and taken back at once, thousands of them: CVE-2023-44487."""
    with witness(server), Raw(server.ports["grpc"]) as raw:
        stream = 1
        while stream < 200_000 and raw.write(raw.head(stream, CHECK) + reset(stream)):
            stream += 2
        raw.frames(5)
        assert raw.is_over and stream < 200_000
        assert raw.goaway in (None, ENHANCE_YOUR_CALM)
    assert check(server.ports["grpc"])


def test_headers_beyond_16_kib(server, alice):
    with witness(server), Raw(server.ports["grpc"]) as raw:
        frames = raw.call(1, CHECK, seconds=3)
        assert frames
        # The letter is short in HPACK, so that the frame is not what is too large.
        raw.write(raw.head(3, CHECK, more=[(f"x-{index}", "a" * 200) for index in range(60)]))
        assert not raw.frames(1) or raw.goaway is None
        raw.write(raw.head(5, CHECK, more=[(f"y-{index}", "a" * 200) for index in range(100)]))
        raw.frames(5)
        assert raw.is_over and raw.goaway == COMPRESSION_ERROR, raw.goaway
    assert check(server.ports["grpc"])


# MARK: too many connections


def test_10_000_connections_from_one_address(start):
    share = 64
    server = start(STRANGERS_PER_ADDRESS=share)
    port = server.ports["grpc"]
    token = Account(Api(server.http)).token
    with witness(server):
        member = Raw(port)
        assert any(isinstance(frame, DataFrame) for frame in member.call(1, ACCOUNT, token=token))
        strangers = []
        for _ in range(10_000):
            stranger = socket.create_connection(("127.0.0.1", port), timeout=10)
            if len(strangers) < share:
                strangers.append(stranger)
                continue
            try:
                assert stranger.recv(1) == b""
            except ConnectionResetError:
                pass
            stranger.close()
        assert metric(server, "ringway_grpc_connections") <= share + 1
        assert metric(server, "ringway_grpc_peers_refused_total") == 10_000 - share
        # Who has shown a token stays, others come from elsewhere, and a place that is given back is taken.
        assert any(isinstance(frame, DataFrame) for frame in member.call(3, ACCOUNT, token=token))
        assert check(port, source="127.0.0.2")
        for stranger in strangers:
            stranger.close()
        deadline = time.monotonic() + 5
        while metric(server, "ringway_grpc_connections") > 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert check(port)


def test_who_has_shown_a_token_is_no_stranger(start):
    server = start(STRANGERS_PER_ADDRESS=2)
    port = server.ports["grpc"]
    token = Account(Api(server.http)).token
    members = [Raw(port) for _ in range(2)]
    assert Raw(port).seconds_until_over(5) < 5
    for member in members:
        # A token that is not good makes nobody known.
        member.call(1, ACCOUNT, token=token + "x")
    assert Raw(port).seconds_until_over(5) < 5
    for index in range(10):
        for member in members[-2:]:
            assert any(isinstance(frame, DataFrame) for frame in member.call(3, ACCOUNT, token=token))
        members += [Raw(port), Raw(port)]
        assert all(not member.frames(0.05, until=lambda frame: False) or not member.is_over for member in members[-2:]), index
    for member in members:
        member.socket.close()


def test_connections_above_the_bound_wait(start):
    server = start(proxies="127.0.0.1", CONNECTIONS_MAX=4)
    port = server.ports["grpc"]
    held = [Raw(port) for _ in range(4)]
    assert all(raw.frames(2, until=lambda frame: isinstance(frame, SettingsFrame)) for raw in held)
    waiting = Raw(port)
    assert not waiting.frames(1) and not waiting.is_over
    held.pop().socket.close()
    assert waiting.frames(5, until=lambda frame: isinstance(frame, SettingsFrame))
    for raw in [*held, waiting]:
        raw.socket.close()


def test_strangers_of_a_few_addresses_keep_nobody_out(start):
    """Twelve of sixteen places are all that strangers may hold; a newcomer takes one of theirs and becomes known."""
    server = start(CONNECTIONS_MAX=16, STRANGERS_PER_ADDRESS=4)
    port = server.ports["grpc"]
    token = Account(Api(server.http)).token
    held = [socket.create_connection(("127.0.0.1", port), source_address=(f"127.0.0.{n}", 0)) for n in (2, 3, 4) * 4]
    deadline = time.monotonic() + 5
    while metric(server, "ringway_grpc_connections") < 12 and time.monotonic() < deadline:
        time.sleep(0.02)
    members = [Raw(port) for _ in range(1)]
    for _ in range(8):
        assert any(isinstance(frame, DataFrame) for frame in members[-1].call(1, ACCOUNT, token=token))
        members.append(Raw(port))

    def counted():
        return metric(server, "ringway_grpc_connections"), metric(server, "ringway_grpc_peers_displaced_total")

    deadline = time.monotonic() + 5
    while counted() != (15, 6) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert counted() == (15, 6)
    for member in members[:-1]:
        assert any(isinstance(frame, DataFrame) for frame in member.call(3, ACCOUNT, token=token))
    for each in [*held, *(member.socket for member in members)]:
        each.close()


# MARK: too many calls, and too much in them


def test_a_client_that_heeds_the_bound_may_have_any_number_of_calls(server, alice):
    """The bound is told, so that a client's library queues what is above it: nobody sees an error."""
    metadata = [("authorization", f"Bearer {alice.token}")]
    with grpc.insecure_channel(f"127.0.0.1:{server.ports['grpc']}") as channel:
        ask = channel.unary_unary("/" + ACCOUNT)
        calls = [ask.future(b"", timeout=30, metadata=metadata) for _ in range(500)]
        assert len({call.result() for call in calls}) == 1


def test_101_calls_on_a_connection(server):
    """What a client gets that does not heed the bound: the connection's end, as RFC 9113 section 5.4.1 allows."""
    with Raw(server.ports["grpc"]) as raw:
        told = raw.frames(2, until=lambda frame: isinstance(frame, SettingsFrame))[0]
        assert told.settings[SettingsFrame.MAX_CONCURRENT_STREAMS] == 100
        raw.write(settings_ack())
        for stream in range(1, 201, 2):
            raw.write(raw.head(stream, CHECK))
        assert not raw.frames(0.5, until=lambda frame: raw.goaway is not None) or raw.goaway is None
        raw.write(raw.head(201, CHECK))
        raw.frames(5)
        assert raw.goaway == PROTOCOL_ERROR and raw.is_over
    assert check(server.ports["grpc"])


def test_101_calls_before_the_bound_was_read(server):
    with Raw(server.ports["grpc"]) as raw:
        assert raw.write(b"".join(raw.head(stream, CHECK) for stream in range(1, 203, 2)))
        raw.frames(5)
        assert raw.goaway == PROTOCOL_ERROR and raw.is_over
    assert check(server.ports["grpc"])


def test_request_beyond_its_bound(server):
    """64 KiB for all but pictures, refused as it exceeds them and not when it is whole."""
    with witness(server), grpc.insecure_channel(f"127.0.0.1:{server.ports['grpc']}") as channel:
        for size in (64 * 1024 + 1, 200_000, 2_000_000):
            with pytest.raises(grpc.RpcError) as refused:
                channel.unary_unary("/" + REGISTER)(bytes(size), timeout=10)
            assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, refused.value
        with pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary("/" + REGISTER)(bytes(64 * 1024), timeout=10)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


class Hoarder:
    """Calls on one connection whose requests lack their last byte; what the other side grants is used up to the last."""

    CALLS = 100

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.connection.initiate_connection()
        self.rest = {}
        self.refused = 0
        for _ in range(self.CALLS):
            stream = self.connection.get_next_available_stream_id()
            self.connection.send_headers(stream, [
                (":method", "POST"), (":scheme", "http"), (":path", "/" + REGISTER), (":authority", "localhost"),
                ("content-type", "application/grpc"), ("te", "trailers")])
            self.rest[stream] = struct.pack(">BI", 0, 65_000) + bytes(64_999)

    def fill(self):
        """Until all is sent or refused."""
        while self.rest:
            for stream, rest in list(self.rest.items()):
                window = self.connection.local_flow_control_window(stream)
                part = rest[:min(window, self.connection.max_outbound_frame_size)]
                if part:
                    self.connection.send_data(stream, part)
                    self.rest[stream] = rest[len(part):]
                    if not self.rest[stream]:
                        del self.rest[stream]
            self.socket.sendall(self.connection.data_to_send())
            if not self.rest:
                break
            for event in self.connection.receive_data(self.socket.recv(65536)):
                if isinstance(event, h2.events.TrailersReceived | h2.events.ResponseReceived):
                    status = dict(event.headers).get("grpc-status")
                    assert status == "8", event.headers
                    self.refused += 1
                    self.rest.pop(event.stream_id, None)
                elif isinstance(event, h2.events.StreamReset):
                    self.rest.pop(event.stream_id, None)
        return self.refused


def test_requests_that_are_never_whole_have_a_share_of_the_memory(server):
    """Eight connections of a hundred calls each, all but a byte of 65,000 in every one: 52 MB, of which 4 MiB are kept."""
    with witness(server):
        hoarders = [Hoarder(server.ports["grpc"]) for _ in range(8)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            refused = sum(pool.map(Hoarder.fill, hoarders))
        held = metric(server, "ringway_grpc_request_bytes")
        assert 2 << 20 < held <= 4 << 20
        # What was refused after its last byte was sent is not waited for.
        assert refused > 700
        assert check(server.ports["grpc"])
        for hoarder in hoarders:
            hoarder.socket.close()
    deadline = time.monotonic() + 5
    while metric(server, "ringway_grpc_request_bytes") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert metric(server, "ringway_grpc_request_bytes") == 0
