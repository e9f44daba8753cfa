"""`ringway seed`: what it makes can be used like anything else, and it leaves other people's databases alone."""

import subprocess

import pytest
from server import BINARY, ROOT, Server, clean_environment
from wire import Account, Api


def seed(database, *options):
    return subprocess.run(
        [BINARY, "seed", *options], cwd=ROOT, env=clean_environment(RINGWAY_POSTGRES_URL=database.url),
        capture_output=True, text=True, timeout=120, check=False)


SMALL = ("--users", "300", "--friends", "6", "--most-friends", "100", "--most-requests", "50", "--batch", "70",
         "--password", "a seeded one")


def test_seeded_users_are_users(database):
    done = seed(database, *SMALL)
    assert done.returncode == 0, done.stderr
    assert database.sql("SELECT count(*) FROM profile.profiles") == "300"
    wrong = database.sql(
        "SELECT count(*) FROM friendship.owners o WHERE version <> friends + sent + received"
        " OR friends <> (SELECT count(*) FROM friendship.friends f WHERE f.user_id = o.user_id)"
        " OR sent <> (SELECT count(*) FROM friendship.requests r WHERE r.sender = o.user_id)"
        " OR received <> (SELECT count(*) FROM friendship.requests r WHERE r.recipient = o.user_id)"
        " OR version <> (SELECT count(*) FROM friendship.changes c WHERE c.user_id = o.user_id)")
    assert wrong == "0"
    # A friendship has two sides, and nobody is both a friend and asked.
    assert database.sql(
        "SELECT count(*) FROM friendship.friends f WHERE NOT EXISTS (SELECT FROM friendship.friends g"
        " WHERE (g.user_id, g.friend_id) = (f.friend_id, f.user_id))") == "0"
    assert database.sql(
        "SELECT count(*) FROM friendship.friends f JOIN friendship.requests r"
        " ON (f.user_id, f.friend_id) IN ((r.sender, r.recipient), (r.recipient, r.sender))") == "0"

    server = Server(database.url).start()
    try:
        api = Api(server.http)
        body = {"username": "seed0000000", "password": "a seeded one", "device": {"name": "x", "platform": "linux"}}
        token = api.ok("POST", "/v1/auth/login", body)["accessToken"]
        friends = api.ok("GET", "/v1/friends?limit=1000", token=token)["friends"]
        assert len(friends) == 100
        requests = api.ok("GET", "/v1/friend-requests?limit=200", token=token)["requests"]
        assert len(requests) == 50 + 2 + 2
        api.ok("DELETE", f"/v1/friends/{friends[0]['userId']}", token=token)
        answered = next(request for request in requests if request["to"] != request["from"] and request["message"] == "hello"
                        and request["to"] == api.ok("GET", "/v1/profiles/me", token=token)["userId"])
        assert api.ok("POST", f"/v1/friend-requests/{answered['id']}:accept", token=token)["state"] == "ACCEPTED"
    finally:
        server.kill()


def test_seed_refuses_a_database_with_users(database):
    server = Server(database.url).start()
    try:
        Account(Api(server.http))
    finally:
        server.kill()
    done = seed(database, *SMALL)
    assert done.returncode == 1
    assert "--force" in done.stderr
    assert database.sql("SELECT count(*) FROM profile.profiles") == "1"
    assert seed(database, "--force", *SMALL).returncode == 0
    again = seed(database, "--force", *SMALL)
    assert again.returncode == 1
    assert "seeded already" in again.stderr


@pytest.mark.parametrize("options", [("--users", "0"), ("--friends", "3"), ("--users", "5"), ("--batch", "0"), ("--users", "x")])
def test_seed_refuses_bad_figures(database, options):
    assert seed(database, *options).returncode == 64
