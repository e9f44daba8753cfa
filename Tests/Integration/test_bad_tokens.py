"""Access tokens that somebody has made up, most of them with the server's own key, so that nothing but the fault itself
can be why they are refused: alike at every door, without a question to any other machine, and without a change."""

import base64
import hashlib
import hmac
import json
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from doors import DOORS
from hostile import http, rpc, witness
from wire import Account, Api, Closed, Socket

ROW = {"method": "ProfileService/GetMyProfile", "http": "GET /v1/profiles/me", "body": "{}"}


def spelled(value):
    """As the server spells it: without spaces."""
    return json.dumps(value, separators=(",", ":"))


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Forger:
    """Has the server's signing key, and with it signs whatever it is given."""

    def __init__(self, database, directory, account):
        found = database.sql("SELECT kid, private_key FROM auth.signing_keys ORDER BY signs_from DESC LIMIT 1")
        self.kid, pem = found.split("|", 1)
        self._key = directory / "key.pem"
        self._key.write_text(pem)
        self._directory = directory
        self.account = account

    def public_pem(self):
        command = ["openssl", "pkey", "-in", self._key, "-pubout"]
        return subprocess.run(command, capture_output=True, check=True, timeout=10).stdout

    def claims(self, **changes):
        now = int(time.time())
        claims = {"iss": "ringway", "aud": "ringway", "sub": self.account.user, "sid": self.account.device, "iat": now,
                  "exp": now + 300} | changes
        return {name: value for name, value in claims.items() if value is not None}

    def header(self, **changes):
        header = {"alg": "ES256", "kid": self.kid, "typ": "at+jwt"} | changes
        return spelled({name: value for name, value in header.items() if value is not None})

    def sign(self, header=None, claims=None):
        """Of JSON texts, so that a member may stand twice."""
        claims = claims if isinstance(claims, str) else spelled(claims or self.claims())
        content = f"{encoded((header or self.header()).encode())}.{encoded(claims.encode())}"
        der = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", self._key], input=content.encode(), capture_output=True, check=True,
            timeout=10).stdout
        return f"{content}.{encoded(raw_signature(der))}"

    def hmac(self, secret, **header):
        content = f"{encoded(self.header(**header).encode())}.{encoded(spelled(self.claims()).encode())}"
        return f"{content}.{encoded(hmac.new(secret, content.encode(), hashlib.sha256).digest())}"


def raw_signature(der):
    """The two numbers of an ECDSA signature, 32 bytes each, out of their DER form."""
    numbers, rest = [], der[2:]
    for _ in range(2):
        size = rest[1]
        numbers.append(rest[2:2 + size].lstrip(b"\0").rjust(32, b"\0"))
        rest = rest[2 + size:]
    return b"".join(numbers)


@pytest.fixture
def forger(shared_server, alice, tmp_path):
    return Forger(shared_server.database, tmp_path, alice)


def doubled(forger, name, first, second):
    """Its last value where the server looks for it, and its first right before."""
    once = spelled(forger.claims(**{name: second}))
    place = once.index(f'"{name}":')
    return f'{once[:place]}"{name}":{json.dumps(first)},{once[place:]}'


FORGERIES = {
    "alg none": lambda f: f.sign(f.header(alg="none")).rsplit(".", 1)[0] + ".",
    "alg nOnE": lambda f: f.sign(f.header(alg="nOnE")).rsplit(".", 1)[0] + ".",
    "alg none with a signature": lambda f: f.sign(f.header(alg="none")),
    "HS256 with the public key": lambda f: f.hmac(f.public_pem(), alg="HS256"),
    "HS256 under ES256's name": lambda f: f.hmac(f.public_pem()),
    "another issuer with the same kid": lambda f: f.sign(claims=f.claims(iss="elsewhere")),
    "another audience": lambda f: f.sign(claims=f.claims(aud="elsewhere")),
    "kid with a path": lambda f: f.sign(f.header(kid="../../../../dev/null")),
    "kid with SQL": lambda f: f.sign(f.header(kid="' UNION SELECT private_key FROM auth.signing_keys --")),
    "no kid": lambda f: f.sign(f.header(kid=None)),
    "unknown crit": lambda f: f.sign(f.header(crit=["ringway"], ringway=True)),
    "exp missing": lambda f: f.sign(claims=f.claims(exp=None)),
    "exp a string": lambda f: f.sign(claims=f.claims(exp=str(int(time.time()) + 300))),
    "exp negative": lambda f: f.sign(claims=f.claims(exp=-1)),
    "exp 1e308": lambda f: f.sign(claims=spelled(f.claims(exp=0)).replace('"exp":0', '"exp":1e308')),
    "exp 1e999": lambda f: f.sign(claims=spelled(f.claims(exp=0)).replace('"exp":0', '"exp":1e999')),
    "exp long ago": lambda f: f.sign(claims=f.claims(exp=1)),
    "exp twice": lambda f: f.sign(claims=doubled(f, "exp", 1, int(time.time()) + 300)),
    "sub twice": lambda f: f.sign(claims=doubled(f, "sub", "1", f.account.user)),
    "sid twice": lambda f: f.sign(claims=doubled(f, "sid", "1", f.account.device)),
    "another user's device": lambda f: f.sign(claims=f.claims(sub=str(int(f.account.user) + 1))),
    "zero signature": lambda f: f.sign().rsplit(".", 1)[0] + "." + encoded(bytes(64)),
    "empty signature": lambda f: f.sign().rsplit(".", 1)[0] + ".",
    "refresh token": lambda f: f.account.refresh,
    "refresh token's typ": lambda f: f.sign(f.header(typ="rt+jwt")),
    "a thousand dots": lambda f: "." * 1000,
}


def test_what_the_forger_signs_is_good_when_nothing_is_wrong_with_it(server, forger, api):
    for door in DOORS.values():
        assert door(server, forger.sign(), ROW, str, api) == ("OK", "")


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_token_is_refused_at_every_door(server, forger, api, forgery):
    token = FORGERIES[forgery](forger)
    with witness(server):
        answers = {name: door(server, token, ROW, str, api) for name, door in DOORS.items()}
    assert {code for code, _ in answers.values()} == {"UNAUTHENTICATED"}
    assert answers["http"] == answers["grpc"] == ("UNAUTHENTICATED", "a valid access token is required")


@pytest.mark.parametrize("header", ["jku", "x5u", "jwk"])
def test_token_that_names_its_own_key_is_refused_and_nothing_is_fetched(server, forger, api, header):
    visits = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        watching = threading.Event()

        def watch():
            while not watching.is_set():
                try:
                    connection, _ = listener.accept()
                    visits.append(connection.recv(100))
                    connection.close()
                except TimeoutError:
                    pass

        watcher = threading.Thread(target=watch)
        watcher.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/keys"
        value = {"kty": "EC", "crv": "P-256", "x": encoded(bytes(32)), "y": encoded(bytes(32))} if header == "jwk" else url
        token = forger.sign(forger.header(**{header: value}))
        with witness(server):
            answers = {door(server, token, ROW, str, api)[0] for door in DOORS.values()}
        # Whoever fetched in the background has had the time to.
        time.sleep(0.3)
        watching.set()
        watcher.join()
    assert answers == {"UNAUTHENTICATED"}
    assert visits == []


def test_a_million_dots_are_refused_at_every_door(server):
    dots = "." * 1_000_000
    with witness(server):
        # The header is larger than any request's head may be, and so is the metadata.
        try:
            status, _, _ = Api(server.http).raw("GET", "/v1/profiles/me", headers={"Authorization": f"Bearer {dots}"})
            assert status in (400, 431)
        except (ConnectionResetError, BrokenPipeError):
            # The connection ends with most of it unread, which may overtake the answer.
            pass
        code, _ = rpc(server, dots, "ProfileService/GetMyProfile", b"")
        assert code not in ("OK", "UNKNOWN", "INTERNAL", "DEADLINE_EXCEEDED")
        with pytest.raises(Closed) as closed:
            Socket(server.ws, dots)
        assert closed.value.code == 1009


def test_64_refreshes_of_one_token_at_once_have_one_successor(server, alice):
    body = json.dumps({"refreshToken": alice.refresh})

    def refresh(_):
        status, _, answer = alice.api.raw("POST", "/v1/auth/refresh", body, {"Content-Type": "application/json"})
        return status, json.loads(answer)

    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(refresh, range(64)))
    # Beyond the device's limit of a minute they are told to come back, and use nothing up.
    assert {status for status, _ in answers} <= {200, 429}
    assert len({answer["refreshToken"] for status, answer in answers if status == 200}) == 1
    assert server.database.sql(
        f"SELECT count(*) FROM auth.refresh_tokens WHERE device_id = {alice.device} AND rotated_at IS NULL") == "1"


def test_access_token_is_no_refresh_token(server, alice):
    with witness(server):
        body = json.dumps({"refreshToken": alice.token})
        assert http(server, "", "POST", "/v1/auth/refresh", body)[:2] == (401, "UNAUTHENTICATED")
    assert Account(alice.api).ok("GET", "/v1/profiles/me")
