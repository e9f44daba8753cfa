"""The HTTP API: what it answers to bad requests, and that every error has the documented shape."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from wire import PASSWORD, Account

DEVICE = {"name": "test", "platform": "linux"}


def assert_error(answer, status, code):
    got_status, body = answer
    assert (got_status, body.get("error", {}).get("code")) == (status, code), body
    assert set(body) == {"error"}
    # Only a refusal of one field names one.
    assert set(body["error"]) - {"field"} == {"code", "message", "requestId"}
    assert "field" not in body["error"] or status in (400, 403, 409)
    assert body["error"]["message"] and body["error"]["requestId"]


BAD_REGISTRATIONS = {
    "no username": {"username": "", "password": PASSWORD, "device": DEVICE},
    "short username": {"username": "ab", "password": PASSWORD, "device": DEVICE},
    "long username": {"username": "a" * 33, "password": PASSWORD, "device": DEVICE},
    "username of digits": {"username": "12345", "password": PASSWORD, "device": DEVICE},
    "username with a space": {"username": "ada lovelace", "password": PASSWORD, "device": DEVICE},
    "username with a letter like another": {"username": "аdmin", "password": PASSWORD, "device": DEVICE},
    "short password": {"username": "somebody", "password": "1234567", "device": DEVICE},
    "long password": {"username": "somebody", "password": "x" * 257, "device": DEVICE},
    "no device": {"username": "somebody", "password": PASSWORD},
    "device without a name": {"username": "somebody", "password": PASSWORD, "device": {"platform": "linux"}},
    "device with a long name": {"username": "somebody", "password": PASSWORD, "device": {**DEVICE, "name": "x" * 65}},
    "device name with NUL": {"username": "somebody", "password": PASSWORD, "device": {**DEVICE, "name": "a\0b"}},
    "numbers for text": {"username": 12345, "password": PASSWORD, "device": DEVICE},
}


@pytest.mark.parametrize("name", BAD_REGISTRATIONS)
def test_bad_registration(api, name):
    assert_error(api.call("POST", "/v1/auth/register", BAD_REGISTRATIONS[name]), 400, "INVALID_ARGUMENT")


def test_taken_username_in_any_case(alice, api):
    for username in (alice.username, alice.username.upper()):
        body = {"username": username, "password": PASSWORD, "device": DEVICE}
        assert_error(api.call("POST", "/v1/auth/register", body), 409, "ALREADY_EXISTS")


def test_unknown_user_and_wrong_password_look_the_same(alice, api):
    answers = []
    for username, password in ((alice.username, "wrong password"), ("nobody-at-all", PASSWORD)):
        answer = api.call("POST", "/v1/auth/login", {"username": username, "password": password, "device": DEVICE})
        assert_error(answer, 401, "UNAUTHENTICATED")
        answers.append(answer[1]["error"]["message"])
    assert answers[0] == answers[1]


def test_login_folds_the_username(alice, api):
    body = {"username": alice.username.upper(), "password": PASSWORD, "device": DEVICE}
    assert api.ok("POST", "/v1/auth/login", body)["userId"] == alice.user


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"username": {}}', b"[" * 20_000])
def test_body_that_is_no_json_object(api, body):
    status, headers, answer = api.raw("POST", "/v1/auth/login", body, {"Content-Type": "application/json"})
    assert_error((status, json.loads(answer)), 400, "INVALID_ARGUMENT")
    assert headers["Content-Type"].startswith("application/json")


def test_body_that_is_too_large(api):
    status, _, answer = api.raw("POST", "/v1/auth/login", b" " * 100_000, {"Content-Type": "application/json"})
    assert_error((status, json.loads(answer)), 413, "RESOURCE_EXHAUSTED")


def test_body_of_another_type(api):
    status, _, answer = api.raw("POST", "/v1/auth/login", b"a=b", {"Content-Type": "text/plain"})
    assert_error((status, json.loads(answer)), 415, "INVALID_ARGUMENT")


GUARDED = [
    ("POST", "/v1/auth/logout"),
    ("GET", "/v1/profiles/me"),
    ("PATCH", "/v1/profiles/me"),
    ("GET", "/v1/profiles/1"),
    ("POST", "/v1/friend-requests"),
    ("GET", "/v1/friend-requests"),
    ("POST", "/v1/friend-requests/1:accept"),
    ("POST", "/v1/friend-requests/1:reject"),
    ("GET", "/v1/friends"),
    ("DELETE", "/v1/friends/1"),
    ("GET", "/v1/inbox?since=0"),
]


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_no_entry_without_a_good_token(api, method, path):
    body = {} if method in ("POST", "PATCH") else None
    for token in (None, "", "rubbish", "a.b.c", "x" * 5000):
        assert_error(api.call(method, path, body, token), 401, "UNAUTHENTICATED")


def test_unknown_path_and_method(alice):
    assert_error(alice.call("GET", "/v1/nothing"), 404, "NOT_FOUND")
    assert_error(alice.call("DELETE", "/v1/inbox"), 405, "UNIMPLEMENTED")


@pytest.mark.parametrize("who", ["0", "-1", "abc", "18446744073709551616", "1.5", "%00"])
def test_profile_of_no_id(alice, who):
    assert_error(alice.call("GET", f"/v1/profiles/{who}"), 400, "INVALID_ARGUMENT")


def test_profile_of_nobody(alice):
    assert_error(alice.call("GET", "/v1/profiles/4611686018427387904"), 404, "NOT_FOUND")


def test_bad_profile_changes(alice):
    for change in ({"nickname": ""}, {"nickname": "x" * 65}, {"signature": "x" * 257}, {"nickname": "a\0b"}):
        assert_error(alice.call("PATCH", "/v1/profiles/me", change), 400, "INVALID_ARGUMENT")
    profile = alice.ok("PATCH", "/v1/profiles/me", {"nickname": "Ada", "signature": "first"})
    assert (profile["nickname"], profile["signature"]) == ("Ada", "first")
    stale = {"nickname": "Eve", "expectedVersion": str(int(profile["version"]) - 1)}
    assert_error(alice.call("PATCH", "/v1/profiles/me", stale), 409, "ABORTED")
    assert alice.ok("GET", "/v1/profiles/me") == profile


def test_profile_change_is_an_event(alice):
    profile = alice.ok("PATCH", "/v1/profiles/me", {"signature": "hello"})
    assert [event["profile"]["profile"] for event in alice.log()] == [profile]


def test_bad_friend_requests(alice, bob):
    ask = "/v1/friend-requests"
    assert_error(alice.call("POST", ask, {"to": alice.user}), 400, "INVALID_ARGUMENT")
    assert_error(alice.call("POST", ask, {"to": "0"}), 404, "NOT_FOUND")
    assert_error(alice.call("POST", ask, {"to": "18446744073709551616"}), 400, "INVALID_ARGUMENT")
    assert_error(alice.call("POST", ask, {"to": "4611686018427387904"}), 404, "NOT_FOUND")
    assert_error(alice.call("POST", ask, {"to": bob.user, "message": "x" * 257}), 400, "INVALID_ARGUMENT")
    first = alice.ok("POST", ask, {"to": bob.user})
    assert alice.ok("POST", ask, {"to": bob.user})["id"] == first["id"]
    # Only who was asked may answer, and only once.
    assert_error(alice.call("POST", f"{ask}/{first['id']}:accept"), 404, "NOT_FOUND")
    assert_error(bob.call("POST", f"{ask}/1:accept"), 404, "NOT_FOUND")
    bob.ok("POST", f"{ask}/{first['id']}:accept")
    assert_error(bob.call("POST", f"{ask}/{first['id']}:accept"), 404, "NOT_FOUND")
    assert_error(alice.call("POST", ask, {"to": bob.user}), 409, "ALREADY_EXISTS")


def test_two_who_ask_each_other_are_friends(alice, bob):
    alice.ok("POST", "/v1/friend-requests", {"to": bob.user})
    assert bob.ok("POST", "/v1/friend-requests", {"to": alice.user})["state"] == "ACCEPTED"
    assert [friend["userId"] for friend in alice.ok("GET", "/v1/friends")["friends"]] == [bob.user]


def test_rejected_request_makes_no_friends(alice, bob):
    asked = alice.ok("POST", "/v1/friend-requests", {"to": bob.user})
    assert bob.ok("POST", f"/v1/friend-requests/{asked['id']}:reject")["state"] == "REJECTED"
    assert alice.ok("GET", "/v1/friends").get("friends", []) == []
    assert_error(alice.call("DELETE", f"/v1/friends/{bob.user}"), 404, "NOT_FOUND")


def test_bad_inbox_reads(alice):
    assert_error(alice.call("GET", "/v1/inbox?since=1000"), 400, "OUT_OF_RANGE")
    for query in ("since=-1", "since=abc", "since=0&limit=1001", "since=0&limit=-1", "since=0&limit=x"):
        assert_error(alice.call("GET", f"/v1/inbox?{query}"), 400, "INVALID_ARGUMENT")
    assert alice.ok("GET", "/v1/inbox").get("events", []) == []


def test_inbox_pages(alice):
    for number in range(7):
        alice.ok("PATCH", "/v1/profiles/me", {"signature": str(number)})
    page = alice.ok("GET", "/v1/inbox?since=2&limit=3")
    assert [event["seq"] for event in page["events"]] == ["3", "4", "5"]
    assert page["headSeq"] == "7"


def test_gateway_url(alice, server):
    url = alice.ok("GET", "/v1/gateway")["url"]
    assert url == f"ws://127.0.0.1:{server.ws}/ws"


def test_usernames_are_unique_under_a_race(api):
    body = {"username": Account(api).username + "x", "password": PASSWORD, "device": DEVICE}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.call("POST", "/v1/auth/register", body)[0], range(8)))
    assert sorted(answers) == [200] + [409] * 7
