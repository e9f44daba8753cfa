"""What the tests share: one server over one fresh database, and the accounts on it."""

import os

import pytest
from server import Database, PrivatePostgres, Server, own_server_of
from wire import Account, Api, Socket


@pytest.fixture(scope="session")
def postgres_url():
    url = os.environ.get("RINGWAY_TEST_POSTGRES_URL")
    assert url, "RINGWAY_TEST_POSTGRES_URL is not set: run the tests with `make test`"
    return url


@pytest.fixture
def database(postgres_url):
    """A database without a server, for one test."""
    database = Database(postgres_url)
    yield database
    database.drop()


@pytest.fixture(scope="session")
def shared_server(postgres_url):
    with own_server_of(postgres_url) as server:
        # Accounts whose end has come are looked for often, because a test may wait for one.
        yield server.start(RINGWAY_MAINTENANCE_SECONDS="1")
        if server.is_running():
            server.stop()


@pytest.fixture
def server(shared_server):
    """The shared server, which must still serve after each test. For tests that do not stop it."""
    assert shared_server.is_running(), f"an earlier test ended the server:\n{shared_server.log()}"
    yield shared_server
    assert shared_server.is_ready(), f"the server no longer serves:\n{shared_server.log()}"


@pytest.fixture
def own_server(postgres_url):
    """A server and a database for one test, which may kill it."""
    with own_server_of(postgres_url) as server:
        yield server.start()


@pytest.fixture
def outage():
    """A Postgres that the test may stop, and a server on it."""
    postgres = PrivatePostgres()
    server = None
    try:
        server = Server(Database(postgres.url).url).start()
        yield postgres, server
    finally:
        if server and server.is_running():
            server.kill()
        postgres.remove()


@pytest.fixture
def api(server):
    return Api(server.http)


@pytest.fixture
def alice(api):
    return Account(api)


@pytest.fixture
def bob(api):
    return Account(api)


@pytest.fixture
def friends(alice, bob):
    alice.befriend(bob)
    return alice, bob


@pytest.fixture
def connect(server):
    """Opens sockets on the shared server and closes them after the test."""
    sockets = []

    def open_socket(account=None, since=None, **options):
        token = account.token if account else None
        if account and since is None:
            since = account.head()
        sockets.append(Socket(server.ws, token, since or 0, **options))
        return sockets[-1]

    yield open_socket
    for socket in sockets:
        socket.close()
