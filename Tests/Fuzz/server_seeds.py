#!/usr/bin/env python3
"""Writes the seeds of fuzz_server into corpus/server: one small conversation each. Run it after changing them.

A seed is fuzz_server's input: two bytes for the simulation's seed, choices, sizes, the splits, the stream.
"""

import struct
from pathlib import Path

from deflate_seeds import PROSE, deflated

HANDSHAKE_DONE, READS_SLOWLY, ENDS, RESETS, SERVER_CLOSES, IS_LIMITED, SUBPROTOCOL, DEFLATES = (1 << bit for bit in range(8))
TEXT, BINARY, CLOSE, PING, PONG, FIN, MASK = 1, 2, 8, 9, 10, 0x80, b"\x37\xfa\x21\x3d"


def frame(opcode, payload=b"", flags=FIN, mask=MASK):
    length = len(payload)
    if length < 126:
        head = struct.pack("!BB", flags | opcode, 0x80 | length)
    elif length < 65536:
        head = struct.pack("!BBH", flags | opcode, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", flags | opcode, 0x80 | 127, length)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def request(*lines, first="GET /ws HTTP/1.1"):
    usual = ["Host: f", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    return "".join(f"{line}\r\n" for line in [first, *usual, *lines, ""]).encode()


def seed(stream, choices=HANDSHAKE_DONE, sizes=0x25, splits=(), number=1):
    return struct.pack("!HBBB", number, choices, sizes, len(splits)) + bytes(splits) + stream


CLOSE_1000 = frame(CLOSE, b"\x03\xe8bye")
DEFLATED = HANDSHAKE_DONE | DEFLATES
HELLO = frame(TEXT, "gr\u00fc\u00dfe".encode())

SEEDS = {
    "request": seed(request(), choices=0),
    "request_then_frames": seed(request() + HELLO + CLOSE_1000, choices=0, splits=(7, 1, 30)),
    "request_with_subprotocol": seed(request("Sec-WebSocket-Protocol: superchat, chat"), choices=SUBPROTOCOL),
    "request_with_token": seed(request("Authorization: Bearer abc.def") + HELLO, choices=0),
    "request_refused": seed(request(first="GET /other HTTP/1.1"), choices=0),
    "request_malformed": seed(b"GET /ws HTTP/1.1\r\nHost: f\nX\r\n\r\n", choices=0),
    "request_too_long": seed(request("X: " + "x" * 8200), choices=0),
    "request_of_a_flooding_address": seed(request() + HELLO, choices=IS_LIMITED),
    "text_and_close": seed(HELLO + CLOSE_1000),
    "byte_by_byte": seed(HELLO + frame(PING, b"p") + CLOSE_1000, splits=(1,)),
    "lengths": seed(b"".join(frame(BINARY, b"x" * length) for length in (0, 1, 125, 126, 1000, 4096)) + CLOSE_1000),
    "fragments_with_a_ping": seed(frame(TEXT, b"one ", 0) + frame(PING, b"?") + frame(0, b"two ", 0) + frame(0, b"three")),
    "too_many_fragments": seed(frame(BINARY, b"", 0) + frame(0, b"", 0) * 8),
    "too_long": seed(frame(BINARY, b"x" * 4097)),
    "too_long_in_fragments": seed(frame(BINARY, b"x" * 4000, 0) + frame(0, b"x" * 97)),
    "pings_unread": seed(frame(PING, b"x" * 125) * 60, choices=HANDSHAKE_DONE | READS_SLOWLY),
    "echoes_unread": seed(frame(BINARY, b"x" * 1500) * 6, choices=HANDSHAKE_DONE | READS_SLOWLY),
    "server_closes": seed(HELLO * 5, choices=HANDSHAKE_DONE | SERVER_CLOSES),
    "half_closed": seed(HELLO * 3, choices=HANDSHAKE_DONE | ENDS),
    "reset_in_a_frame": seed(frame(BINARY, b"x" * 500)[:300], choices=HANDSHAKE_DONE | RESETS),
    "unmasked": seed(b"\x81\x01x"),
    "reserved_bit": seed(frame(TEXT, b"x", FIN | 0x40)),
    "reserved_opcode": seed(frame(3)),
    "long_ping": seed(frame(PING, b"x" * 126)),
    "length_not_shortest": seed(b"\x82\xfe\x00\x05" + MASK),
    "orphan_continuation": seed(frame(0, b"x")),
    "broken_utf8": seed(frame(TEXT, b"\xc3(")),
    "close_empty": seed(frame(CLOSE)),
    "close_of_one_byte": seed(frame(CLOSE, b"\x03")),
    "close_1005": seed(frame(CLOSE, b"\x03\xed")),
    "close_then_more": seed(CLOSE_1000 + HELLO),
    "request_with_extension": seed(
        request("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, permessage-deflate"), choices=DEFLATES),
    "request_with_bad_window": seed(
        request("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=16"), choices=DEFLATES),
    "deflated_text": seed(frame(TEXT, deflated(PROSE * 5), FIN | 0x40) * 2 + CLOSE_1000, choices=DEFLATED, splits=(9,)),
    "deflated_fragments": seed(
        frame(BINARY, deflated(PROSE * 5)[:20], 0x40) + frame(PING, b"?") + frame(0, deflated(PROSE * 5)[20:]),
        choices=DEFLATED),
    "deflated_empty": seed(frame(TEXT, b"\x00", FIN | 0x40), choices=DEFLATED),
    "deflated_bomb": seed(frame(BINARY, deflated(bytes(100_000)), FIN | 0x40), choices=DEFLATED),
    "deflated_garbage": seed(frame(BINARY, b"\xff\xfe\xfd", FIN | 0x40), choices=DEFLATED),
    "deflated_broken_utf8": seed(frame(TEXT, deflated(b"\xc3("), FIN | 0x40), choices=DEFLATED),
    "deflated_unread": seed(frame(BINARY, deflated(PROSE * 60), FIN | 0x40) * 6, choices=DEFLATED | READS_SLOWLY),
    "plain_where_deflate_is_agreed": seed(HELLO + frame(BINARY, PROSE * 10), choices=DEFLATED),
}

if __name__ == "__main__":
    directory = Path(__file__).parent / "corpus/server"
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in SEEDS.items():
        (directory / name).write_bytes(content)
