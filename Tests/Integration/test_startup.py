"""A server that can't start says why in one line, and how to mend it."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from server import BINARY, Database, Server, clean_environment, free_ports, run_serve
from wire import Api

LAUNCHER = Path(__file__).with_name("without_io_uring.py")


@pytest.fixture
def arguments():
    return Server("").arguments()


def assert_one_line(code, said, *words):
    """One line for the operator and nothing else."""
    assert code != 0
    assert len(said.splitlines()) == 1, said
    for word in words:
        assert word.lower() in said.lower(), said


@pytest.mark.parametrize("index", range(4), ids=["ws", "http", "grpc", "ops"])
def test_port_in_use(database, arguments, index):
    port = arguments[2 * index + 1]
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(port)))
        other.listen()
        code, said = run_serve(arguments, {"RINGWAY_POSTGRES_URL": database.url})
    assert_one_line(code, said, port, "in use")


def test_second_server_on_the_same_ports(database):
    first = Server(database.url).start()
    try:
        code, said = run_serve(first.arguments(), {"RINGWAY_POSTGRES_URL": database.url})
        assert_one_line(code, said, "in use")
        assert first.is_ready()
    finally:
        first.stop()


def test_a_door_that_does_not_open_ends_the_node(database, arguments):
    """Two of the doors on one port: it is free when asked, and one of them comes too late."""
    arguments[arguments.index("--grpc-port") + 1] = arguments[arguments.index("--http-port") + 1]
    code, said = run_serve(arguments, {"RINGWAY_POSTGRES_URL": database.url})
    assert code == 1
    assert "is up" not in said
    assert said.splitlines()[-1].startswith("ringway: a part of the node ended: ")
    assert "Address already in use" in said.splitlines()[-1]


def test_who_is_ready_has_opened_all_doors(database):
    server = Server(database.url).start(wait=False)
    try:
        deadline = time.monotonic() + 20
        while not server.is_ready():
            assert time.monotonic() < deadline
        for port in server.ports.values():
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
    finally:
        assert server.stop() == 0


def test_postgres_unreachable(arguments):
    for url in ("postgresql://ringway@/ringway?host=/nonexistent", f"postgresql://127.0.0.1:{free_ports(1)[0]}/x"):
        code, said = run_serve(arguments, {"RINGWAY_POSTGRES_URL": url})
        assert_one_line(code, said, "postgres")


def test_postgres_that_refuses_is_told_in_its_own_words(database, arguments):
    for url, said_by_postgres in (
        (database.url.replace(database.name, "no_such_database"), 'database "no_such_database" does not exist'),
        (database.url.replace("//ringway", "//nobody_at_all"), "nobody_at_all"),
    ):
        code, said = run_serve(arguments, {"RINGWAY_POSTGRES_URL": url})
        assert_one_line(code, said, said_by_postgres, "--postgres-url")


def test_postgres_url_with_a_password_is_not_repeated(arguments):
    url = f"postgresql://ringway:hunter22secret@127.0.0.1:{free_ports(1)[0]}/x"
    code, said = run_serve(arguments, {"RINGWAY_POSTGRES_URL": url})
    assert_one_line(code, said, "postgres")
    assert "hunter22secret" not in said


def test_postgres_url_missing(arguments):
    assert_one_line(*run_serve(arguments, {}), "RINGWAY_POSTGRES_URL")


def test_version_is_one_at_the_command_and_at_metrics(server):
    done = subprocess.run([BINARY, "--version"], env=clean_environment(), capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", done.stdout)
    _, _, text = Api(server.ports["ops"]).raw("GET", "/metrics")
    assert f'ringway_build_info{{version="{done.stdout.strip()}"}} 1\n' in text.decode()


@pytest.mark.parametrize(
    "command",
    [["serve"], ["migrate"], ["seed"], ["keys", "list"], ["keys", "rotate"], ["keys", "revoke"]], ids=" ".join)
def test_every_command_has_help(command):
    for flag in ("--help", "-h"):
        done = subprocess.run(
            [BINARY, *command, flag], env=clean_environment(), capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("OVERVIEW: ") and "USAGE: ringway " + " ".join(command) in done.stdout


def test_schema_not_migrated(postgres_url, arguments):
    database = Database(postgres_url, migrated=False)
    try:
        assert_one_line(*run_serve(arguments, {"RINGWAY_POSTGRES_URL": database.url}), "ringway migrate")
    finally:
        database.drop()


def test_schema_of_a_newer_program(database, arguments):
    database.sql("INSERT INTO ringway_migrations (version, name, checksum) VALUES (9999, '9999_future', 'x')")
    assert_one_line(*run_serve(arguments, {"RINGWAY_POSTGRES_URL": database.url}), "9999", "newer")


def test_unknown_flag_names_the_nearest(database, arguments):
    code, said = run_serve([*arguments, "--wss-port", "1"], {"RINGWAY_POSTGRES_URL": database.url})
    assert code != 0
    assert "--ws-port" in said


def test_unknown_environment_key_names_the_nearest(database, arguments):
    environment = {"RINGWAY_POSTGRES_URL": database.url, "RINGWAY_WSS_PORT": "1"}
    assert_one_line(*run_serve(arguments, environment), "RINGWAY_WSS_PORT", "RINGWAY_WS_PORT")


@pytest.mark.parametrize("port", ["abc", "-1", "65536"])
def test_port_that_is_none(database, port):
    code, said = run_serve([], {"RINGWAY_POSTGRES_URL": database.url, "RINGWAY_WS_PORT": port})
    assert_one_line(code, said, "RINGWAY_WS_PORT", port)


def test_io_uring_refused_serves_over_epoll(database):
    server = Server(database.url, launcher=[sys.executable, LAUNCHER]).start()
    try:
        assert server.is_ready()
        assert len([line for line in server.log().splitlines() if "io_uring" in line and "epoll" in line]) == 1
    finally:
        server.stop()


def test_io_uring_refused_and_insisted_upon(database, arguments):
    launcher = [sys.executable, LAUNCHER]
    code, said = run_serve([*arguments, "--io", "io_uring"], {"RINGWAY_POSTGRES_URL": database.url}, launcher)
    assert_one_line(code, said, "io_uring", "--io")


def test_io_that_is_none(database, arguments):
    code, said = run_serve([*arguments, "--io", "kqueue"], {"RINGWAY_POSTGRES_URL": database.url})
    assert_one_line(code, said, "--io", "kqueue", "epoll")


def test_binary_is_built():
    assert os.access(BINARY, os.X_OK)
