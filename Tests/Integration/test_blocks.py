"""Blocks as both sides see them, on sockets that were open before, and over HTTP."""

from test_http import assert_error

NOBODY = "4611686018427387904"


def without_request_id(answer):
    status, body = answer
    body["error"].pop("requestId")
    return status, body


def test_block_holds_on_open_sockets(friends, connect):
    alice, bob = friends
    phone, laptop = connect(bob), connect(alice)
    phone.message("m1", alice.user, "before")
    phone.expect("sent")
    laptop.expect("event", where=lambda event: "message" in event)
    alice.ok("POST", "/v1/blocks", {"userId": bob.user})
    # Both sides are told what concerns them, on the sockets they have.
    laptop.expect("event", where=lambda event: event.get("friend", {}).get("change") == "BLOCKED")
    phone.expect("event", where=lambda event: event.get("friend", {}).get("change") == "REMOVED")
    for client_id, to in (("m2", alice.user), ("m3", NOBODY)):
        phone.message(client_id, to, "after")
    blocked, nobody = phone.expect("error"), phone.expect("error")
    assert {blocked.pop("clientId"), nobody.pop("clientId")} == {"m2", "m3"}
    assert blocked == nobody
    assert blocked["code"] == "PERMISSION_DENIED"
    # Nor may the blocker write to whom they have blocked.
    laptop.message("m4", bob.user, "nor I")
    assert laptop.expect("error")["code"] == "PERMISSION_DENIED"
    assert "BLOCKED" not in str(bob.log())


def test_blocked_and_nobody_are_alike(alice, bob):
    alice.ok("POST", "/v1/blocks", {"userId": bob.user})
    for method, path, body in (
        ("POST", "/v1/friend-requests", lambda user: {"to": user}),
        ("DELETE", "/v1/friends/{}", None),
        ("DELETE", "/v1/blocks/{}", None),
        ("PATCH", "/v1/friends/{}", lambda user: {"remark": "x"}),
    ):
        answers = [
            without_request_id(bob.call(method, path.format(user), body and body(user))) for user in (alice.user, NOBODY)
        ]
        assert answers[0] == answers[1], (method, path)
        assert answers[0][0] == 404
    blocks = [bob.ok("POST", "/v1/blocks", {"userId": user}) for user in (alice.user, NOBODY)]
    assert [block["userId"] for block in blocks] == [alice.user, NOBODY]


def test_a_client_follows_its_lists(alice, bob):
    alice.befriend(bob)
    version = alice.ok("GET", "/v1/friends")["version"]
    group = alice.ok("POST", "/v1/friend-groups", {"name": "work"})
    alice.ok("PATCH", f"/v1/friends/{bob.user}", {"groupId": group["id"], "remark": "boss"})
    changes = alice.ok("GET", f"/v1/relation-changes?since={version}")
    assert [(friend["groupId"], friend["remark"]) for friend in changes["friends"]] == [(group["id"], "boss")]
    assert changes["groups"] == [group]
    alice.ok("POST", "/v1/friend-groups:reorder", {"ids": [group["id"]]})
    alice.ok("PATCH", f"/v1/friend-groups/{group['id']}", {"name": "office"})
    alice.ok("DELETE", f"/v1/friend-groups/{group['id']}")
    alice.ok("DELETE", f"/v1/friends/{bob.user}")
    changes = alice.ok("GET", f"/v1/relation-changes?since={changes['version']}")
    assert changes["removedFriendIds"] == [bob.user]
    assert changes["groupsChanged"] and "groups" not in changes
    assert_error(alice.call("GET", "/v1/relation-changes?since=1000000"), 400, "OUT_OF_RANGE")


def test_request_is_withdrawn_by_its_sender(alice, bob):
    request = alice.ok("POST", "/v1/friend-requests", {"to": bob.user})
    assert_error(bob.call("POST", f"/v1/friend-requests/{request['id']}:withdraw"), 404, "NOT_FOUND")
    assert alice.ok("POST", f"/v1/friend-requests/{request['id']}:withdraw")["state"] == "WITHDRAWN"
    assert [event["friend"]["change"] for event in bob.log()] == ["REQUESTED", "WITHDRAWN"]
