"""gRPC's health service: it says what /readyz says, needs no token, and tells a drain before the node is gone."""

import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from doors import METHODS, PACKAGE
from wire import Account, Api, Socket

HEALTH = "/grpc.health.v1.Health/"
# HealthCheckResponse, as bytes: field 1, an enum.
SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"
SERVICES = sorted({PACKAGE + method.split("/")[0] for method in METHODS} | {"grpc.health.v1.Health"})


def named(service):
    """HealthCheckRequest: field 1, a text."""
    return b"\x0a" + bytes([len(service)]) + service.encode() if service else b""


@pytest.fixture
def dial():
    channels = []

    def open_channel(server):
        # A connection of its own.
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels.append(grpc.insecure_channel(f"127.0.0.1:{server.ports['grpc']}", options=options))
        return channels[-1]

    yield open_channel
    for channel in channels:
        channel.close()


def check(channel, service=""):
    return channel.unary_unary(HEALTH + "Check", bytes, bytes)(named(service), timeout=10)


def watch(channel, service=""):
    return channel.unary_stream(HEALTH + "Watch", bytes, bytes)(named(service), timeout=60)


def test_the_node_and_its_services_are_serving(server, dial):
    channel = dial(server)
    for service in ["", *SERVICES]:
        assert check(channel, service) == SERVING
    listed = channel.unary_unary(HEALTH + "List", bytes, bytes)(b"", timeout=10)
    for service in SERVICES:
        assert service.encode() in listed


def test_a_service_that_does_not_exist(server, dial):
    channel = dial(server)
    with pytest.raises(grpc.RpcError) as error:
        check(channel, "ringway.v1.NoService")
    assert error.value.code() == grpc.StatusCode.NOT_FOUND
    stream = watch(channel, "ringway.v1.NoService")
    assert next(stream) == SERVICE_UNKNOWN
    stream.cancel()


def test_without_a_database_the_node_is_not_serving(outage, dial):
    postgres, server = outage
    channel = dial(server)
    stream = watch(channel)
    assert next(stream) == SERVING
    postgres.stop()
    assert next(stream) == NOT_SERVING
    assert check(channel) == NOT_SERVING
    assert not server.is_ready()
    postgres.start()
    assert next(stream) == SERVING
    stream.cancel()


def test_a_drain_is_told_and_ends_the_stream(own_server, dial):
    account = Account(Api(own_server.http))
    stream = watch(dial(own_server))
    assert next(stream) == SERVING
    with Socket(own_server.ws, account.token) as socket, ThreadPoolExecutor(1) as pool:
        assert socket.is_alive()
        stopping = pool.submit(own_server.stop)
        assert list(stream) == [NOT_SERVING]
        assert stream.code() == grpc.StatusCode.OK
        assert stopping.result(30) == 0


def test_streams_are_bounded_and_give_their_place_back(server, dial):
    channels = [dial(server) for _ in range(4)]
    streams = [watch(channels[number % 4]) for number in range(100)]
    assert [next(stream) for stream in streams] == [SERVING] * 100
    refused = watch(dial(server))
    with pytest.raises(grpc.RpcError) as error:
        next(refused)
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    for stream in streams:
        stream.cancel()
    deadline = time.monotonic() + 20
    while True:
        again = watch(channels[0])
        try:
            assert next(again) == SERVING
            break
        except grpc.RpcError:
            assert time.monotonic() < deadline, "no stream gives its place back"
            time.sleep(0.1)
    again.cancel()


def test_no_other_door_has_it(server, alice):
    with Socket(server.ws, alice.token) as socket:
        socket.send({"call": {"id": "c", "method": HEALTH[1:] + "Check"}})
        assert socket.expect("reply")["error"]["code"] == "UNIMPLEMENTED"
    assert alice.api.raw("POST", HEALTH + "Check", b"{}", {"Content-Type": "application/json"})[0] == 404
