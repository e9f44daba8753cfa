"""Pictures over HTTP: what may be uploaded, what is kept of it, and how it is served and cached."""

import io
import json
import secrets
import struct
import zlib

import pytest
from hostile import witness
from PIL import Image
from wire import Account

SECRET = b"37.7749,-122.4194 by Ada"
FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
AVATAR = "/v1/profiles/me/avatar"


def picture(content_type="image/png", size=(600, 530), color=(200, 30, 60)):
    """A picture of one colour, with the secret where the format keeps such things."""
    image = Image.new("RGB", size, color)
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    out = io.BytesIO()
    image.save(out, FORMATS[content_type], exif=exif.tobytes())
    return out.getvalue()


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width, height):
    """A file of a hundred bytes or less that claims a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 32)) + chunk(b"IEND", b"")


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


BAD = {
    "nothing": b"",
    "no picture": b"<html>hello</html>",
    "60,000 by 60,000 in a hundred bytes": png_of(60_000, 60_000),
    "a hundred bytes of 8,192 by 2,048": png_of(8192, 2048),
    "too small": png_of(8, 8),
    "no width": png_of(0, 100),
    "the first half": picture()[: len(picture()) // 2],
    "a header alone": picture()[:33],
    "another format than it says": picture("image/jpeg"),
    "an archive": b"PK\x03\x04" + bytes(200),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_whole_picture_is_refused_and_changes_nothing(alice, avatar, what):
    before = alice.ok("GET", "/v1/profiles/me")
    status, answer = upload(alice, BAD[what])
    assert (status, answer["error"]["code"]) == (400, "INVALID_ARGUMENT")
    assert alice.ok("GET", "/v1/profiles/me") == before
    assert fetch(alice.api, f"/v1/avatars/{avatar}")[0] == 200


@pytest.mark.parametrize("content_type", FORMATS)
@pytest.mark.parametrize("end", [4, 2, 1.1])
def test_a_truncated_file_is_a_picture_or_a_refusal(alice, content_type, end):
    body = picture(content_type, size=(200, 200))
    assert upload(alice, body[: int(len(body) / end)], content_type)[0] in (200, 400)


@pytest.mark.parametrize("content_type", FORMATS)
def test_of_a_file_that_is_two_only_the_picture_is_kept(alice, content_type):
    page = b"<script>alert(1)</script>PK\x03\x04"
    status, answer = upload(alice, picture(content_type) + page, content_type)
    if status == 200:
        kept = fetch(alice.api, f"/v1/avatars/{answer['avatar']}")[2]
        assert page not in kept and b"script" not in kept
    else:
        assert (status, answer["error"]["code"]) == (400, "INVALID_ARGUMENT")


def test_texts_of_a_png_are_not_inflated(server, alice):
    """Eight megabytes in each text of eight thousand bytes: as many of them as fit would be two gigabytes."""
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(7_900_000)))
    texts = text * ((2 << 20) // len(text) - 1)
    head, pixels = picture()[:33], picture()[33:]
    with witness(server):
        # Also where the file comes to nothing, so that nothing may change.
        assert upload(alice, head + texts + chunk(b"IDAT", b"no pixels") + chunk(b"IEND", b""))[0] == 400
    assert upload(alice, head + texts + pixels)[0] == 200


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
