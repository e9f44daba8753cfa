"""Pictures that are none, that are more than one, and that lie about their size: at each door the same answer, and what is
refused has changed nothing."""

import base64
import io
import json
import secrets
import zlib

import pytest
from doors import ASK
from hostile import processor_seconds, witness
from PIL import Image
from pictures import FORMATS, canvas_of, chunk, jpeg_of, lossless_of, lossy_of, noise, picture, png_of

# For all doors together. Sixteen megapixels, the most that a picture may have, take a third of it.
SECONDS_MAX = 1


def set_avatar(door, server, account, content_type, image):
    body = json.dumps({"contentType": content_type, "image": base64.b64encode(image).decode()})
    row = {"method": "ProfileService/SetMyAvatar", "http": "PUT /v1/profiles/me/avatar", "body": body}
    return ASK[door](server, account.token, row, str, account.api)


def kept(account, avatar):
    status, _, content = account.api.raw("GET", f"/v1/avatars/{avatar}")
    assert status == 200
    return content


@pytest.fixture
def shown(server, alice):
    """A user with a picture that nobody else has."""
    assert "avatar" in set_avatar("http", server, alice, "image/png", picture(color=tuple(secrets.token_bytes(3))))
    return alice


def profile(account):
    """What a picture would change of it; the end of a socket changes last_seen."""
    return {name: value for name, value in account.ok("GET", "/v1/profiles/me").items() if name != "lastSeen"}


def assert_refused_alike(server, account, content_type, image):
    before = profile(account)
    spent = processor_seconds(server)
    with witness(server):
        told = {door: set_avatar(door, server, account, content_type, image) for door in ASK}
    assert processor_seconds(server) - spent < SECONDS_MAX
    error = told["http"]["error"]
    assert (error["code"], error["field"]) == ("INVALID_ARGUMENT", "image")
    assert all(answer == told["http"] for answer in told.values()), told
    assert profile(account) == before
    assert kept(account, before["avatar"])


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
def test_what_is_no_whole_picture_is_refused_and_changes_nothing(server, shown, what):
    assert_refused_alike(server, shown, "image/png", BAD[what])


# Each of a few kilobytes, and whole but for the size that it claims.
LIES = {
    "a JPEG of 65,500": ("image/jpeg", jpeg_of(65_500, 65_500)),
    "a JPEG of 8,192 by 2,048": ("image/jpeg", jpeg_of(8192, 2048)),
    "a JPEG without a height": ("image/jpeg", jpeg_of(64, 0)),
    "a progressive JPEG of 65,500": ("image/jpeg", jpeg_of(65_500, 65_500, progressive=True)),
    "a progressive JPEG of 8,192 by 2,048": ("image/jpeg", jpeg_of(8192, 2048, progressive=True)),
    "VP8 of 16,383": ("image/webp", lossy_of(16_383, 16_383)),
    "VP8 of 8,192 by 2,048": ("image/webp", lossy_of(8192, 2048)),
    "VP8L of 16,383": ("image/webp", lossless_of(16_383, 16_383)),
    "VP8L of 8,192 by 2,048": ("image/webp", lossless_of(8192, 2048)),
    "VP8X of 16,383 around 64": ("image/webp", canvas_of(16_383, 16_383, noise("image/webp"))),
    "VP8X of 2^24 around 64": ("image/webp", canvas_of(1 << 24, 1 << 24, noise("image/webp"))),
    "VP8X of 8,192 by 2,048 around 64": ("image/webp", canvas_of(8192, 2048, noise("image/webp"))),
    "VP8X of 64 around VP8 of 16,383": ("image/webp", canvas_of(64, 64, lossy_of(16_383, 16_383))),
    "VP8X of 64 around VP8L of 16,383": ("image/webp", canvas_of(64, 64, lossless_of(16_383, 16_383))),
}


@pytest.mark.parametrize("what", LIES)
def test_a_file_that_lies_about_its_size_is_refused_and_costs_little(server, shown, what):
    assert_refused_alike(server, shown, *LIES[what])


HONEST = {
    "a JPEG": ("image/jpeg", jpeg_of(64, 64)),
    "a progressive JPEG": ("image/jpeg", jpeg_of(64, 64, progressive=True)),
    "VP8": ("image/webp", lossy_of(64, 64)),
    "VP8L": ("image/webp", lossless_of(64, 64)),
    "VP8X": ("image/webp", canvas_of(64, 64, noise("image/webp"))),
}


@pytest.mark.parametrize("what", HONEST)
def test_the_same_files_are_taken_when_they_say_the_truth(server, alice, what):
    answer = set_avatar("http", server, alice, *HONEST[what])
    assert Image.open(io.BytesIO(kept(alice, answer["avatar"]))).size == (64, 64)


@pytest.mark.parametrize("content_type", FORMATS)
@pytest.mark.parametrize("end", [4, 2, 1.1])
def test_a_truncated_file_is_a_picture_or_a_refusal(server, alice, content_type, end):
    body = picture(content_type, size=(200, 200))
    told = [set_avatar(door, server, alice, content_type, body[: int(len(body) / end)]) for door in ASK]
    outcomes = {answer["error"]["code"] if "error" in answer else answer["avatar"] for answer in told}
    assert len(outcomes) == 1
    assert "INVALID_ARGUMENT" in outcomes or kept(alice, outcomes.pop())


@pytest.mark.parametrize("content_type", FORMATS)
def test_of_a_file_that_is_two_only_the_picture_is_kept(server, alice, content_type):
    page = b"<script>alert(1)</script>PK\x03\x04"
    alone = set_avatar("http", server, alice, content_type, picture(content_type))["avatar"]
    for door in ASK:
        answer = set_avatar(door, server, alice, content_type, picture(content_type) + page)
        if "error" in answer:
            assert (answer["error"]["code"], answer["error"]["field"]) == ("INVALID_ARGUMENT", "image")
        else:
            assert answer["avatar"] == alone and b"script" not in kept(alice, alone)


def test_texts_of_a_png_are_not_inflated(server, alice):
    """Eight megabytes in each text of eight thousand bytes: as many of them as fit would be two gigabytes."""
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(7_900_000)))
    texts = text * ((2 << 20) // len(text) - 1)
    head, pixels = picture()[:33], picture()[33:]
    bad = head + texts + chunk(b"IDAT", b"no pixels") + chunk(b"IEND", b"")
    # A socket's frame holds no two megabytes.
    for door in ("http", "grpc"):
        with witness(server):
            # Also where the file comes to nothing, so that nothing may change.
            assert set_avatar(door, server, alice, "image/png", bad)["error"]["code"] == "INVALID_ARGUMENT"
        assert "avatar" in set_avatar(door, server, alice, "image/png", head + texts + pixels)
