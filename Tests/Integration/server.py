"""Starts, kills and stops `ringway serve` and the databases under it. Everything is ended by its process id.

Not here: what the server should answer (the tests), how a client talks to it (wire.py).
"""

import http.client
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("RINGWAY_BINARY") or ROOT / ".build/release/ringway")
# What carries the sockets of every server that a test does not start otherwise.
IO = os.environ.get("RINGWAY_TEST_IO") or "auto"
PORTS = ("ws", "http", "grpc", "ops")
_given_ports = set()


def free_ports(count):
    """
    Ports that nobody listens on now and that nobody was given before, whose server may yet begin to listen. They lie below
    the ephemeral range, where no client socket can take them.
    """
    ports = []
    while len(ports) < count:
        port = 10000 + secrets.randbelow(20000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given_ports:
            _given_ports.add(port)
            ports.append(port)
    return ports


def clean_environment(**settings):
    """The environment without any setting of Ringway's that the tests themselves run under."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RINGWAY_")}
    return environment | settings


class Database:
    """A fresh database on a server that runs already."""

    def __init__(self, server_url, migrated=True):
        self.name = "integration_" + secrets.token_hex(6)
        self._server = server_url
        parts = urlsplit(server_url)
        self.url = urlunsplit(parts._replace(path="/" + self.name))
        self.admin_sql(f"CREATE DATABASE {self.name}")
        if migrated:
            self.migrate()

    def _psql(self, database, statement):
        query = parse_qs(urlsplit(self._server).query)
        command = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
        command += [f"--host={query['host'][0]}", f"--port={query['port'][0]}", "--username=ringway"]
        done = subprocess.run(
            [*command, f"--dbname={database}", f"--command={statement}"],
            cwd="/", capture_output=True, text=True, timeout=30, check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def admin_sql(self, statement):
        return self._psql("postgres", statement)

    def sql(self, statement):
        return self._psql(self.name, statement)

    def migrate(self):
        done = subprocess.run(
            [BINARY, "migrate"], cwd=ROOT, env=clean_environment(RINGWAY_POSTGRES_URL=self.url),
            capture_output=True, text=True, timeout=60, check=False,
        )
        assert done.returncode == 0, done.stderr

    def drop(self):
        self.admin_sql(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")


class PrivatePostgres:
    """A Postgres that a test may stop under a running server."""

    def __init__(self):
        self._directory = tempfile.TemporaryDirectory(prefix="ringway-outage-")
        # Root's server runs as another user, who has to get through.
        os.chmod(self._directory.name, 0o711)
        self.start()
        self.url = self._run("url").strip()

    def _run(self, command, *settings):
        script = ROOT / "scripts/postgres.sh"
        done = subprocess.run(
            [script, command, self._directory.name, *settings],
            stdout=subprocess.PIPE, text=True, timeout=90, check=True,
        )
        return done.stdout

    def start(self):
        self._run("start", "fsync=off")

    def stop(self):
        self._run("stop")

    def remove(self):
        self.stop()
        self._directory.cleanup()


class PrivateRedis:
    """A Redis on a unix socket of its own, which a test may kill, stop and start again."""

    def __init__(self, *settings):
        self._directory = tempfile.TemporaryDirectory(prefix="ringway-redis-")
        self.socket = f"{self._directory.name}/redis.sock"
        self.url = f"unix://{self.socket}"
        self._settings = settings
        self._process = None

    def start(self):
        self._process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.socket, "--dir", self._directory.name, "--save", "",
             "--daemonize", "no", *self._settings],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while not any(word in self.ask("PING") for word in ("PONG", "NOAUTH")):
            assert self._process.poll() is None and time.monotonic() < deadline, "Redis does not start"
            time.sleep(0.01)
        return self

    def ask(self, *words):
        done = subprocess.run(
            ["redis-cli", "-s", self.socket, *words], capture_output=True, text=True, timeout=30, check=False
        )
        return done.stdout + done.stderr

    def signal(self, number):
        self._process.send_signal(number)

    def kill(self):
        """kill -9: nothing is saved."""
        self._process.kill()
        self._process.wait()

    def remove(self):
        if self._process.poll() is None:
            self.kill()
        self._directory.cleanup()


class Server:
    """One `ringway serve` on ports of its own, which it keeps across restarts."""

    def __init__(self, postgres_url, launcher=(), options=()):
        self.postgres_url = postgres_url
        self._launcher = launcher
        self._options = options
        self.ports = dict(zip(PORTS, free_ports(len(PORTS))))
        self._process = None
        self._log = tempfile.NamedTemporaryFile(prefix="ringway-serve-", suffix=".log")

    @property
    def ws(self):
        return self.ports["ws"]

    @property
    def http(self):
        return self.ports["http"]

    @property
    def pid(self):
        return self._process.pid

    def arguments(self):
        ports = [item for name, port in self.ports.items() for item in (f"--{name}-port", str(port))]
        return [*ports, *self._options]

    def start(self, wait=True, **variables):
        self._process = subprocess.Popen(
            [*self._launcher, BINARY, "serve", *self.arguments()], cwd=ROOT,
            env=clean_environment(**{"RINGWAY_POSTGRES_URL": self.postgres_url, "RINGWAY_IO": IO} | variables),
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )
        if wait:
            self.wait_until_ready()
        return self

    def is_ready(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["ops"], timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def wait_until_ready(self, timeout=20):
        deadline = time.monotonic() + timeout
        while not self.is_ready():
            assert self._process.poll() is None, f"serve ended with {self._process.returncode}:\n{self.log()}"
            assert time.monotonic() < deadline, f"serve is not ready:\n{self.log()}"
            time.sleep(0.02)

    def kill(self):
        """kill -9: nothing in the server gets to run."""
        self._process.kill()
        self._process.wait()

    def signal(self, number):
        self._process.send_signal(number)

    def stop(self):
        """SIGTERM and the drain; the exit code."""
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def is_running(self):
        return self._process is not None and self._process.poll() is None

    def log(self):
        return Path(self._log.name).read_text(errors="replace")


def run_serve(arguments, environment, launcher=(), timeout=20):
    """Runs a `serve` that is expected to refuse to start; its exit code and what it said on stderr."""
    process = subprocess.Popen(
        [*launcher, BINARY, "serve", *arguments], cwd=ROOT, env=clean_environment(**environment),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )
    try:
        _, said = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        _, said = process.communicate()
        raise AssertionError(f"serve went on running; stderr:\n{said}") from None
    return process.returncode, said.strip()


@contextmanager
def own_server_of(postgres_url, options=()):
    """A server over a fresh database, `server.database`, neither of which outlives the block. Whoever asks for it starts it."""
    database = Database(postgres_url)
    server = Server(database.url, options=options)
    server.database = database
    try:
        yield server
    finally:
        if server.is_running():
            server.kill()
        database.drop()


@contextmanager
def nodes_of(postgres_url, *settings):
    """As many servers on one fresh database as there are settings, each started with its own."""
    database = Database(postgres_url)
    servers = [Server(database.url) for _ in settings]
    try:
        for server, own in zip(servers, settings):
            server.start(**own)
        yield servers
    finally:
        for server in servers:
            if server.is_running():
                server.stop()
        database.drop()
