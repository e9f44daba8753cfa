#!/usr/bin/env python3
"""Writes the seeds of fuzz_deflate into corpus/deflate, beside those that a run found. Run it after changing them.

A seed is fuzz_deflate's input: the splits, a byte of window and level, a byte of limit and opcode, the data.
"""

import zlib
from pathlib import Path

TEXT, BINARY, LIMIT_32_KIB, LIMIT_64 = 1, 0, 15 << 1, 6 << 1


def deflated(data, level=6, bits=15, flush=zlib.Z_SYNC_FLUSH):
    """One message as RFC 7692 section 7.2.1 wants it."""
    stream = zlib.compressobj(level, zlib.DEFLATED, -bits)
    return (stream.compress(data) + stream.flush(flush)).removesuffix(b"\x00\x00\xff\xff")


def seed(data, bits=15, level=6, choices=LIMIT_32_KIB | BINARY, splits=()):
    return bytes([len(splits), *splits, (level - 1) * 8 + bits - 8, choices]) + data


PROSE = b"it was the best of times, it was the worst of times, "

SEEDS = {
    "empty": seed(b""),
    "empty_message": seed(b"\x00"),
    "hello": seed(b"\xf2\x48\xcd\xc9\xc9\x07\x00"),
    "hello_byte_by_byte": seed(b"\xf2\x48\xcd\xc9\xc9\x07\x00", splits=(1,), choices=LIMIT_32_KIB | TEXT),
    "stored": seed(deflated(PROSE, level=0)),
    "fixed_and_dynamic": seed(deflated(PROSE + bytes(range(256)) * 3), splits=(3, 50)),
    "final_block": seed(deflated(PROSE, flush=zlib.Z_FINISH)),
    "final_block_and_more": seed(deflated(PROSE, flush=zlib.Z_FINISH) + deflated(PROSE)),
    "two_blocks": seed(deflated(PROSE) + b"\x00\x00\xff\xff" + deflated(PROSE)),
    "small_window": seed(deflated(PROSE * 20, bits=9), bits=9, splits=(7,)),
    "bomb": seed(deflated(b"\x00" * 30000)),
    "bomb_over_the_limit": seed(deflated(b"\x00" * 30000), choices=LIMIT_64),
    "truncated": seed(deflated(PROSE * 3)[:20]),
    "garbage": seed(b"\xff\xfe\xfd\xfc garbage"),
    "broken_utf8": seed(deflated(b"\xc3("), choices=LIMIT_32_KIB | TEXT),
    "cut_utf8": seed(deflated(b"\xe2\x82"), choices=LIMIT_32_KIB | TEXT),
    "prose": seed(PROSE * 10, level=1),
    "noise": seed(bytes((at * at * 31 + at) % 251 for at in range(600)), level=9),
}

if __name__ == "__main__":
    directory = Path(__file__).parent / "corpus/deflate"
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in SEEDS.items():
        (directory / name).write_bytes(content)
