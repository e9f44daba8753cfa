"""Pictures to upload: whole ones, and a small file that lies about how large it is."""

import io
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


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width, height):
    """A file of a hundred bytes or less that claims a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 32)) + chunk(b"IEND", b"")
