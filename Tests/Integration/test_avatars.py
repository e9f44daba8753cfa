"""Pictures over HTTP: what may be uploaded, what is kept of it, and how it is served and cached."""

import io
import json
import secrets
import select
import socket
import time

import pytest
from PIL import Image
from pictures import FORMATS, SECRET, picture
from wire import Account

AVATAR = "/v1/profiles/me/avatar"


def upload(account, body, content_type="image/png"):
    headers = {"Authorization": f"Bearer {account.token}"} | ({"Content-Type": content_type} if content_type else {})
    status, headers, answer = account.api.raw("PUT", AVATAR, body, headers)
    assert headers["X-Content-Type-Options"] == "nosniff"
    return status, json.loads(answer)


def fetch(api, path, **headers):
    return api.raw("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.fixture
def avatar(alice):
    # Nobody else has it.
    status, profile = upload(alice, picture(color=tuple(secrets.token_bytes(3))))
    assert status == 200
    return profile["avatar"]


@pytest.mark.parametrize("content_type", FORMATS)
def test_a_picture_is_kept_as_webp_in_two_sizes_without_what_else_was_in_it(alice, content_type):
    body = picture(content_type)
    assert SECRET in body
    status, profile = upload(alice, body, content_type)
    assert status == 200
    assert alice.ok("GET", "/v1/profiles/me") == profile
    for query, side in (("", 512), ("?size=512", 512), ("?size=128", 128)):
        status, headers, kept = fetch(alice.api, f"/v1/avatars/{profile['avatar']}{query}")
        assert (status, headers["Content-Type"]) == (200, "image/webp")
        image = Image.open(io.BytesIO(kept))
        image.load()
        assert image.format == "WEBP" and image.size == (side, side)
        assert not image.info.get("exif") and not image.info.get("xmp")
        assert SECRET not in kept


def test_a_picture_is_served_for_good_and_as_nothing_else(api, avatar):
    status, headers, body = fetch(api, f"/v1/avatars/{avatar}")
    assert status == 200 and body
    assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert int(headers["Content-Length"]) == len(body)


def test_who_has_the_picture_is_not_sent_it_again(api, avatar):
    path = f"/v1/avatars/{avatar}"
    tag = fetch(api, path)[1]["ETag"]
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        status, headers, body = fetch(api, path, If_None_Match=known)
        assert (status, headers["ETag"], body) == (304, tag, b"")
        assert headers["Cache-Control"].endswith("immutable")
    assert fetch(api, path, If_None_Match='"other"')[0] == 200
    # The two sizes are two things.
    assert fetch(api, f"{path}?size=128", If_None_Match=tag)[0] == 200


def test_a_picture_goes_with_its_replacement_and_its_removal(alice, avatar):
    status, profile = upload(alice, picture(size=(64, 64), color=tuple(secrets.token_bytes(3))))
    assert status == 200 and profile["avatar"] != avatar
    tag = f'"{avatar}-0"'
    assert fetch(alice.api, f"/v1/avatars/{avatar}", If_None_Match=tag)[0] == 404
    assert "avatar" not in alice.ok("DELETE", AVATAR)
    assert fetch(alice.api, f"/v1/avatars/{profile['avatar']}")[0] == 404


def test_what_is_no_picture_is_400(alice):
    status, answer = upload(alice, b"no picture")
    assert (status, answer["error"]["code"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("content_type", ["image/gif", "image/svg+xml", "application/json", "text/html", "", None])
def test_another_type_is_415(alice, content_type):
    status, answer = upload(alice, picture(), content_type)
    assert (status, answer["error"]["code"]) == (415, "INVALID_ARGUMENT")


def test_more_than_two_megabytes_are_413(alice):
    status, answer = upload(alice, picture() + bytes(2 << 20))
    assert (status, answer["error"]["code"]) == (413, "RESOURCE_EXHAUSTED")
    # Padding up to the limit is not.
    small = picture()
    assert upload(alice, small + bytes((2 << 20) - len(small)))[0] == 200


def test_one_users_slow_uploads_keep_only_their_own_out(alice, api):
    head = (
        f"PUT {AVATAR} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {alice.token}\r\n"
        "Content-Type: image/png\r\nContent-Length: 1000000\r\n\r\n").encode()
    slow = [socket.create_connection(("127.0.0.1", api.port), timeout=10) for _ in range(5)]
    try:
        for connection in slow:
            connection.sendall(head + b"\x89PNG")
        # One of the five is refused, whichever came last.
        refused, _, _ = select.select(slow, [], [], 10)
        assert refused[0].recv(12) == b"HTTP/1.1 429"
        status, headers, answer = api.raw(
            "PUT", AVATAR, picture(), {"Authorization": f"Bearer {alice.token}", "Content-Type": "image/png"})
        assert (status, headers["Retry-After"]) == (429, "1")
        assert json.loads(answer)["error"]["code"] == "RESOURCE_EXHAUSTED"
        assert upload(Account(api), picture())[0] == 200
    finally:
        for connection in slow:
            connection.close()
    deadline = time.monotonic() + 10
    while upload(alice, picture())[0] == 429:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_nobody_uploads_without_a_token(api):
    status, headers, answer = api.raw("PUT", AVATAR, picture(), {"Content-Type": "image/png"})
    assert (status, json.loads(answer)["error"]["code"]) == (401, "UNAUTHENTICATED")
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(("path", "status"), [
    ("0" * 64, 404), ("A" * 64, 400), ("0" * 63, 400), ("..%2f..%2fetc%2fpasswd", 400), ("0" * 64 + "?size=129", 400),
    ("0" * 64 + "?size=-1", 400), ("0" * 64 + "?size=512&size=128", 400),
])
def test_a_hash_that_is_none(api, path, status):
    assert fetch(api, f"/v1/avatars/{path}")[0] == status


def test_the_same_picture_of_two_users_outlives_one_of_them(alice, api):
    bob = Account(api)
    hashes = {upload(account, picture())[1]["avatar"] for account in (alice, bob)}
    assert len(hashes) == 1
    alice.ok("DELETE", AVATAR)
    assert fetch(api, f"/v1/avatars/{hashes.pop()}")[0] == 200
