"""Pictures to upload: whole ones, and small files that lie about how large they are."""

import io
import random
import struct
import zlib

from PIL import Image

SECRET = b"37.7749,-122.4194 by Ada"
FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}


def picture(content_type="image/png", size=(600, 530), color=(200, 30, 60)):
    """A picture of one colour, with the secret where the format keeps such things."""
    image = Image.new("RGB", size, color)
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    out = io.BytesIO()
    image.save(out, FORMATS[content_type], exif=exif.tobytes())
    return out.getvalue()


def noise(content_type, **options):
    """64 by 64 pixels, no two of which are alike: of one colour, some formats say any size in as many bytes."""
    image = Image.frombytes("RGB", (64, 64), random.Random(64).randbytes(64 * 64 * 3))
    out = io.BytesIO()
    image.save(out, FORMATS[content_type], **options)
    return out.getvalue()


def patched(file, at, content):
    return file[:at] + content + file[at + len(content):]


# MARK: PNG

def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width, height):
    """A file of a hundred bytes or less that claims a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 32)) + chunk(b"IEND", b"")


# MARK: JPEG

def jpeg_of(width, height, progressive=False):
    """Its frame header (T.81, B.2.2) claims the size."""
    file = noise("image/jpeg", progressive=progressive)
    frame = file.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    return patched(file, frame + 5, struct.pack(">HH", height, width))


# MARK: WebP

def lossy_of(width, height):
    """VP8, whose key frame (RFC 6386, 9.1) claims the size."""
    return patched(noise("image/webp"), 26, struct.pack("<HH", width, height))


def lossless_of(width, height):
    """VP8L, whose header (RFC 9649, 3.4) claims the size."""
    return patched(noise("image/webp", lossless=True), 21, struct.pack("<I", width - 1 | (height - 1) << 14))


def canvas_of(width, height, file):
    """VP8X, whose canvas (RFC 9649, 2.7) has one size, around the picture of another file."""
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    content = b"WEBP" + canvas + file[12:]
    return b"RIFF" + struct.pack("<I", len(content)) + content
