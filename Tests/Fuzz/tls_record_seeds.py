#!/usr/bin/env python3
"""Writes the seeds of fuzz_tls_record into corpus/tls_record: one small conversation each. Run it after changing them.

A seed is fuzz_tls_record's input: a byte for the suite (0 to 2: TLS 1.3, 3 to 5: 1.2), the splits, the operations.
"""

from pathlib import Path

DATA, ALERT, HANDSHAKE, ANY, LONG, RAW, ALTER, SEND, SHUT, END = range(10)
OPERATIONS = 10
UPDATE, UPDATE_WANTED, CLOSE_NOTIFY = b"\x18\0\0\1\0", b"\x18\0\0\1\1", b"\1\0"


def do(operation, content=b"", padding=0):
    return bytes([operation + OPERATIONS * padding, len(content)]) + content


def seed(*operations, suite=0, splits=()):
    return bytes([suite, len(splits), *splits]) + b"".join(operations)


SEEDS = {
    "data": seed(do(DATA, b"one"), do(SEND, b"answer"), do(DATA, b"two"), do(ALERT, CLOSE_NOTIFY)),
    "byte_by_byte": seed(do(DATA, b"one"), do(DATA, b"two"), suite=1, splits=(1,)),
    "padding": seed(do(DATA, b"one", 9), do(DATA, b"", 20), do(ANY, b"\0", 9)),
    "longest": seed(do(LONG, b"x" * 7), do(LONG, b"x" * 8), do(LONG, b"x" * 9), splits=(255, 16)),
    "longest_with_padding": seed(do(LONG, b"x" * 8, 1)),
    "updates": seed(do(HANDSHAKE, UPDATE), do(DATA, b"x"), do(HANDSHAKE, UPDATE_WANTED), do(DATA, b"y"), suite=2),
    "updates_in_a_flood": seed(do(HANDSHAKE, UPDATE_WANTED) * 34),
    "update_after_our_end": seed(do(SHUT), do(HANDSHAKE, UPDATE_WANTED), do(DATA, b"x")),
    "update_of_two": seed(do(HANDSHAKE, b"\x18\0\0\1\2")),
    "update_cut": seed(do(HANDSHAKE, UPDATE[:3]), do(HANDSHAKE, UPDATE[3:])),
    "updates_of_ours": seed(do(SEND, b"answer") * 14),
    "renegotiation": seed(do(HANDSHAKE, b"\1\0\0\2\3\3"), suite=3),
    "warnings": seed(do(ALERT, b"\1\x64") * 3, do(DATA, b"x"), suite=4),
    "fatal": seed(do(ALERT, b"\2\x28"), do(DATA, b"x")),
    "unsigned_end": seed(do(DATA, b"x"), do(END), suite=5),
    "altered": seed(do(DATA, b"x"), do(ALTER, b"\x06\x01text"), do(DATA, b"y"), suite=3),
    "raw": seed(do(RAW, b"\x14\3\3\0\1\1"), do(DATA, b"y")),
    "raw_cut": seed(do(RAW, b"\x17\3\3\0\x40"), do(END)),
    "empty": seed(do(DATA) * 34, suite=4),
}

if __name__ == "__main__":
    directory = Path(__file__).parent / "corpus/tls_record"
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in SEEDS.items():
        (directory / name).write_bytes(content)
