"""`serve` speaking TLS: wss from hello to a delivered message, a certificate renewed under open sockets, a broken one
refused, and bytes that are no TLS."""

import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest
from server import BINARY, clean_environment, own_server_of
from wire import Account, Api, Socket


class Certificate:
    """A self-signed certificate and its key, in files that the server reads and a test writes again."""

    def __init__(self, directory):
        self.file = directory / "server.crt"
        self.key = directory / "server.key"
        self.renew()

    def renew(self):
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "1"]
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", self.key]
        subprocess.run(
            ["openssl", "req", "-x509", *key, "-out", self.file, *subject], capture_output=True, check=True, timeout=30
        )

    def trust(self):
        """What a client needs in order to trust the certificate as it is now, and no other."""
        context = ssl.create_default_context(cafile=self.file)
        # The client reads in a thread of its own, and Python's ssl lets it read while another writes. With 1.3 a ticket
        # may come in just then, and the write is lost now and then; 1.2 sends none behind the
        # handshake. 1.3 is held by Tests/C/test_tls.c and Autobahn.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context


@pytest.fixture
def certificate(tmp_path):
    return Certificate(tmp_path)


@pytest.fixture
def secure(postgres_url, certificate):
    options = ["--tls-cert", str(certificate.file), "--tls-key", str(certificate.key)]
    with own_server_of(postgres_url, options) as server:
        yield server.start()
        assert server.is_ready(), f"the server no longer serves:\n{server.log()}"
        assert server.stop() == 0


def await_log(server, text, timeout=10):
    """The lines of the server's log that say so, once there is one."""
    deadline = time.monotonic() + timeout
    while True:
        said = [line for line in server.log().splitlines() if text in line]
        if said:
            return said
        assert time.monotonic() < deadline, f"nothing says {text!r}:\n{server.log()}"
        time.sleep(0.02)


def open_socket(server, account, trust):
    return Socket(server.ws, account.token, account.head(), trust=trust)


def assert_a_message_crosses(server, certificate):
    api = Api(server.http)
    alice, bob = Account(api), Account(api)
    alice.befriend(bob)
    trust = certificate.trust()
    with open_socket(server, alice, trust) as ours, open_socket(server, bob, trust) as theirs:
        ours.message("first", bob.user, "over TLS")
        assert ours.expect("sent")["clientId"] == "first"
        event = theirs.expect("event", where=lambda event: "message" in event)
        assert event["message"]["body"]["text"] == "over TLS"


def test_a_message_crosses_over_wss(secure, certificate):
    assert f"wss://127.0.0.1:{secure.ws}/ws" in secure.log()
    assert_a_message_crosses(secure, certificate)


def test_a_kernel_without_tls_is_told_and_changes_nothing(postgres_url, certificate):
    """And one that has it encrypts. Either is told in one line."""
    has_tls = "tls" in Path("/proc/sys/net/ipv4/tcp_available_ulp").read_text().split()
    options = ["--tls-cert", str(certificate.file), "--tls-key", str(certificate.key), "--kernel-tls", "on"]
    with own_server_of(postgres_url, options) as server:
        lines = server.start().log().splitlines()
        assert sum("the kernel encrypts what is sent over TLS" in line for line in lines) == has_tls
        assert sum("this kernel has no TLS that we can use" in line for line in lines) == (not has_tls)
        assert_a_message_crosses(server, certificate)
        assert server.stop() == 0


def test_a_renewed_certificate_is_for_new_sockets_and_drops_no_open_one(secure, certificate):
    account = Account(Api(secure.http))
    before = certificate.trust()
    with open_socket(secure, account, before) as older:
        certificate.renew()
        secure.signal(signal.SIGHUP)
        await_log(secure, "the certificate was read again")
        with pytest.raises(ssl.SSLCertVerificationError):
            Socket(secure.ws, trust=before)
        with open_socket(secure, account, certificate.trust()) as newer:
            assert newer.is_alive()
            assert older.is_alive()


@pytest.mark.parametrize("broken", ["no PEM", "another key"])
def test_a_broken_certificate_is_refused_in_one_line_and_the_old_one_stays(secure, certificate, broken, tmp_path):
    account = Account(Api(secure.http))
    trust = certificate.trust()
    with open_socket(secure, account, trust) as older:
        if broken == "no PEM":
            certificate.file.write_text("this is no certificate\n")
        else:
            (tmp_path / "other").mkdir()
            certificate.file.write_bytes(Certificate(tmp_path / "other").file.read_bytes())
        lines = len(secure.log().splitlines())
        secure.signal(signal.SIGHUP)
        said = await_log(secure, "the certificate stays as it was")
        with open_socket(secure, account, trust) as newer:
            assert newer.is_alive()
            assert older.is_alive()
        assert secure.log().splitlines()[lines:] == said and len(said) == 1


def chat(server, home, *options, lines="", **environment):
    """`ringway chat` of alice, given these lines: what it printed, what it complained of, and its exit code."""
    environment = clean_environment(RINGWAY_HOME=str(home), RINGWAY_PASSWORD="correct horse", **environment)
    ended = subprocess.run(
        [BINARY, "chat", "--as", "alice", "--server", f"http://127.0.0.1:{server.http}", *options],
        env=environment, input=lines, capture_output=True, text=True, timeout=60,
    )
    return ended.stdout, ended.stderr, ended.returncode


def test_chat_trusts_the_authority_it_is_given(secure, certificate, tmp_path):
    api, file = Api(secure.http), str(certificate.file)
    said, complaints, code = chat(secure, tmp_path / "home", "--ca-file", file)
    assert code == 0 and "not connected" not in said, (said, complaints)
    alice, bob = said.split(" id ")[1].split()[0], Account(api)
    with open_socket(secure, bob, certificate.trust()) as theirs:
        bob.ok("POST", "/v1/friend-requests", {"to": alice, "message": "hello"})
        lines = "/accept\n" + f"/to {bob.user}\nover TLS\n"
        said, complaints, code = chat(secure, tmp_path / "home", "--linger", "2", lines=lines, RINGWAY_CA_FILE=file)
        assert code == 0 and "sent #" in said, (said, complaints)
        event = theirs.expect("event", where=lambda event: "message" in event)
        assert event["message"]["body"]["text"] == "over TLS"


def test_chat_connects_to_nobody_it_does_not_trust(secure, tmp_path):
    (tmp_path / "other").mkdir()
    other = str(Certificate(tmp_path / "other").file)
    for options in ([], ["--ca-file", other]):
        said, deadline = "", time.monotonic() + 20
        while "not connected" not in said and time.monotonic() < deadline:
            said, _, _ = chat(secure, tmp_path / "home", "--linger", "1", *options)
        assert "-- not connected: cannot reach the gateway at wss://" in said, said
        assert "its certificate is not trusted" in said, said


@pytest.mark.parametrize("broken", ["nothing", "no PEM"])
def test_chat_says_what_is_wrong_with_its_authorities(secure, tmp_path, broken):
    file = tmp_path / "ca.pem"
    if broken == "no PEM":
        file.write_text("this is no certificate\n")
    said, complaints, code = chat(secure, tmp_path / "home", "--ca-file", str(file))
    assert (said, code) == ("", 64)
    assert complaints == f"ringway: --ca-file: {file} can't be read, or holds no certificate in PEM\n"


def say(server, bytes_said):
    """What a plain socket gets for its bytes until the server ends the stream; a reset is an error."""
    with socket.create_connection(("127.0.0.1", server.ws), timeout=10) as plain:
        plain.sendall(bytes_said)
        answer = b""
        while piece := plain.recv(4096):
            answer += piece
    return answer


def test_bytes_that_are_no_tls_get_a_word_at_most_and_the_end(secure, certificate):
    assert say(secure, b"GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    for noise in (bytes(64), b"\x16\x03\x01\xff\xff", b"\xff" * 5):
        answer = say(secure, noise)
        # A record of type alert, RFC 8446 section 5.1, with a level and a description.
        assert answer == b"" or (answer[0] == 0x15 and len(answer) == 7)
    with open_socket(secure, Account(Api(secure.http)), certificate.trust()) as ours:
        assert ours.is_alive()
