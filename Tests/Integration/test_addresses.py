"""From whose address a request comes, where limits count by it: a proxy's word is taken, and nobody else's."""

import io
import json

import grpc
import pytest
from doors import METHODS, PACKAGE
from google.protobuf import message_factory
from PIL import Image
from server import own_server_of, run_serve
from wire import PASSWORD, Account, Api, Socket

# Loopback addresses other than 127.0.0.1 stand for machines: one proxy, and two clients without it.
PROXY, ADA, EVE = "127.0.0.2", "127.0.0.3", "127.0.0.4"
REFRESH = json.dumps({"refreshToken": "A" * 43})


@pytest.fixture
def strict(postgres_url):
    """A server to be started with limits of its own."""
    with own_server_of(postgres_url) as server:
        yield server


def refresh(server, source, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Api(server.http).raw(
        "POST", "/v1/auth/refresh", REFRESH, {"Content-Type": "application/json"} | headers, source)[0]


def test_clients_behind_a_proxy_have_limits_of_their_own(strict):
    strict.start(RINGWAY_LIMIT_ADDRESS="3/600", RINGWAY_TRUSTED_PROXIES=f"10.0.0.0/8, {PROXY}")
    clients = ["198.51.100.1", "2001:db8::1"]
    for client in clients:
        assert [refresh(strict, PROXY, X_Forwarded_For=client) for _ in range(4)] == [401, 401, 401, 429]
    # What the client has written before it changes nothing, nor another address of its own /64.
    assert refresh(strict, PROXY, X_Forwarded_For=f"203.0.113.7, {clients[0]}") == 429
    assert refresh(strict, PROXY, X_Forwarded_For=f"{clients[0]}, 10.1.2.3") == 429
    assert refresh(strict, PROXY, X_Forwarded_For="2001:db8::ffff") == 429
    assert refresh(strict, PROXY, X_Forwarded_For="2001:db8:0:1::1") == 401
    # The other header is not the one that the proxy writes.
    assert refresh(strict, PROXY, X_Forwarded_For=clients[0], Forwarded="for=203.0.113.8") == 429


def test_who_is_no_proxy_is_not_believed(strict):
    strict.start(RINGWAY_LIMIT_ADDRESS="3/600", RINGWAY_TRUSTED_PROXIES=PROXY)
    answers = [refresh(strict, EVE, X_Forwarded_For=f"198.51.100.{number}") for number in range(4)]
    assert answers == [401, 401, 401, 429]
    assert refresh(strict, EVE, X_Forwarded_For="127.0.0.1", Forwarded="for=127.0.0.1") == 429
    assert refresh(strict, ADA) == 401


def test_forwarded_is_read_where_the_proxy_writes_it(strict):
    strict.start(
        RINGWAY_LIMIT_ADDRESS="3/600", RINGWAY_TRUSTED_PROXIES=PROXY, RINGWAY_PROXY_HEADER="forwarded")
    client = 'for="[2001:db8::1]:4711";proto=https'
    answers = [refresh(strict, PROXY, Forwarded=client, X_Forwarded_For=f"198.51.100.{number}") for number in range(4)]
    assert answers == [401, 401, 401, 429]
    assert refresh(strict, PROXY, Forwarded="for=198.51.100.1") == 401


def test_a_proxys_word_counts_for_grpc_too(strict):
    strict.start(RINGWAY_LIMIT_ADDRESS="3/600", RINGWAY_TRUSTED_PROXIES="127.0.0.1")
    method = METHODS["AuthService/Refresh"]
    request = message_factory.GetMessageClass(method.input_type)(refresh_token="A" * 43)
    answer = message_factory.GetMessageClass(method.output_type)

    def call(*metadata):
        with grpc.insecure_channel(f"127.0.0.1:{strict.ports['grpc']}") as channel:
            unary = channel.unary_unary(
                f"/{PACKAGE}AuthService/Refresh", request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=answer.FromString)
            with pytest.raises(grpc.RpcError) as error:
                unary(request, timeout=10, metadata=metadata)
            return error.value.code().name

    codes = [call(("x-forwarded-for", "198.51.100.1")) for _ in range(4)]
    assert codes == ["UNAUTHENTICATED"] * 3 + ["RESOURCE_EXHAUSTED"]
    assert call(("x-forwarded-for", "198.51.100.2")) == "UNAUTHENTICATED"
    # That header is for the doors of the server itself.
    assert call(("x-forwarded-for", "198.51.100.1"), ("ringway-peer", "127.0.0.1")) == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize(("variable", "value"), [
    ("RINGWAY_TRUSTED_PROXIES", "10.0.0.0/33"), ("RINGWAY_TRUSTED_PROXIES", "balancer"),
    ("RINGWAY_PROXY_HEADER", "x-real-ip"),
])
def test_a_setting_that_names_no_proxy_is_refused(postgres_url, variable, value):
    code, said = run_serve([], {"RINGWAY_POSTGRES_URL": postgres_url, variable: value})
    assert code != 0
    assert variable.removeprefix("RINGWAY_").lower().replace("_", "-") in said


def test_calls_over_a_socket_count_for_the_sockets_address(strict):
    strict.start(RINGWAY_LIMIT_GUESSES="3/600")
    alice = Account(Api(strict.http))
    body = {"password": "wrong password", "email": ""}

    def guess(socket):
        socket.send({"call": {"id": "c", "method": f"{PACKAGE}AuthService/ChangeEmail", "json": body}})
        return socket.expect("reply")["error"]

    with Socket(strict.ws, alice.token, 0, source=EVE) as guesser, Socket(strict.ws, alice.token, 0, source=ADA) as owner:
        assert [guess(guesser)["code"] for _ in range(3)] == ["PERMISSION_DENIED"] * 3
        refused = guess(guesser)
        assert refused["code"] == "RESOURCE_EXHAUSTED"
        assert 0 < refused["retryAfterMs"] <= 200_000
        assert guess(owner)["code"] == "PERMISSION_DENIED"
    # Every door takes from the same bucket.
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {alice.token}"}
    right = json.dumps({"password": PASSWORD, "email": ""})
    assert Api(strict.http).raw("POST", "/v1/account/email", right, headers, EVE)[0] == 429
    assert Api(strict.http).raw("POST", "/v1/account/email", right, headers, ADA)[0] == 200


def test_searches_are_limited_by_user_and_by_address_at_every_door(strict):
    strict.start(RINGWAY_LIMIT_SEARCH="3/600", RINGWAY_LIMIT_SEARCH_ADDRESS="5/600")
    alice, bob = (Account(Api(strict.http)) for _ in range(2))

    def search(account, source, query="abc"):
        status, headers, _ = Api(strict.http).raw(
            "GET", f"/v1/profiles:search?query={query}", headers={"Authorization": f"Bearer {account.token}"}, source=source)
        return status, headers["Retry-After"]

    assert [search(alice, ADA)[0] for _ in range(3)] == [200] * 3
    # What is refused for what it says takes nothing.
    assert search(bob, ADA, "a")[0] == 400
    status, later = search(alice, EVE)
    assert status == 429 and 1 <= int(later) <= 200
    assert [search(bob, ADA)[0] for _ in range(3)] == [200, 200, 429]
    with Socket(strict.ws, Account(Api(strict.http)).token, 0, source=ADA) as socket:
        socket.send({"call": {"id": "c", "method": f"{PACKAGE}ProfileService/SearchProfiles", "json": {"query": "abc"}}})
        error = socket.expect("reply")["error"]
    assert error["code"] == "RESOURCE_EXHAUSTED" and 0 < error["retryAfterMs"] <= 120_000


def test_changes_and_pictures_are_limited_by_user_at_every_door(strict):
    strict.start(RINGWAY_LIMIT_CHANGES="3/600", RINGWAY_LIMIT_PICTURES="1/600")
    api = Api(strict.http)
    alice, bob = Account(api), Account(api)

    def upload(account, picture):
        headers = {"Content-Type": "image/png", "Authorization": f"Bearer {account.token}"}
        status, headers, _ = api.raw("PUT", "/v1/profiles/me/avatar", picture, headers)
        return status, headers["Retry-After"]

    # What is refused for what it says takes nothing, and nor does what would change nothing.
    assert alice.call("PATCH", "/v1/profiles/me", {"nickname": ""})[0] == 400
    alice.ok("PATCH", "/v1/profiles/me", {})
    alice.ok("PATCH", "/v1/profiles/me", {"nickname": "Ada"})
    alice.ok("PATCH", "/v1/settings", {"push": {"previews": False}})
    alice.ok("DELETE", "/v1/profiles/me/avatar")
    assert alice.call("PATCH", "/v1/settings", {"push": {"previews": True}})[0] == 429
    with Socket(strict.ws, alice.token, 0) as socket:
        socket.send({"call": {"id": "c", "method": f"{PACKAGE}ProfileService/UpdateMyProfile", "json": {"region": "x"}}})
        error = socket.expect("reply")["error"]
    assert error["code"] == "RESOURCE_EXHAUSTED" and 0 < error["retryAfterMs"] <= 200_000
    pixels = io.BytesIO()
    Image.new("RGB", (64, 64)).save(pixels, "PNG")
    assert upload(bob, pixels.getvalue()) == (200, None)
    # Also one that would turn out to be none.
    status, later = upload(bob, pixels.getvalue()[:-40])
    assert status == 429 and 1 <= int(later) <= 600
    bob.ok("PATCH", "/v1/profiles/me", {"nickname": "Bob"})
