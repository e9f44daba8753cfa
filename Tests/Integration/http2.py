"""HTTP/2 spoken by hand, for clients that no library would be: frames are written as they are, and what comes back is read
as frames. Nothing is answered that a test does not answer."""

import socket
import time

from hpack import Encoder
from hyperframe.frame import ContinuationFrame, DataFrame, Frame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NO_ERROR, PROTOCOL_ERROR, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 0, 1, 9, 11
# HealthCheckRequest without a field, as gRPC carries it.
EMPTY = bytes(5)


class Raw:
    """One connection. `frames` reads what has come; what the server ends is in `goaways` (their codes) and `is_over`."""

    def __init__(self, port, source="127.0.0.1", begin=True):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))
        self.goaways = []
        self.is_over = False
        self._encoder = Encoder()
        self._received = b""
        if begin:
            self.write(PREFACE + SettingsFrame(0).serialize())

    @property
    def goaway(self):
        """The last word on why; None without one."""
        return self.goaways[-1] if self.goaways else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def write(self, data):
        """False: nobody takes it any more."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def head(self, stream, method, token=None, ends=False, more=()):
        """The bytes that begin a call."""
        headers = [(":method", "POST"), (":scheme", "http"), (":path", "/" + method), (":authority", "localhost"),
                   ("content-type", "application/grpc"), ("te", "trailers"), *more]
        if token:
            headers.append(("authorization", f"Bearer {token}"))
        frame = HeadersFrame(stream, data=self._encoder.encode(headers))
        frame.flags.add("END_HEADERS")
        if ends:
            frame.flags.add("END_STREAM")
        return frame.serialize()

    def frames(self, seconds, until=lambda frame: False):
        """The frames that come, up to one that is waited for, the connection's end, or the time's."""
        found = []
        deadline = time.monotonic() + seconds
        while not self.is_over:
            while len(self._received) >= 9:
                frame, length = Frame.parse_frame_header(memoryview(self._received)[:9])
                if len(self._received) < 9 + length:
                    break
                frame.parse_body(memoryview(self._received)[9:9 + length])
                self._received = self._received[9 + length:]
                found.append(frame)
                if type(frame).__name__ == "GoAwayFrame":
                    self.goaways.append(frame.error_code)
                if until(frame):
                    return found
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                break
            except ConnectionResetError:
                data = b""
            self.is_over = not data
            self._received += data
        return found

    def seconds_until_over(self, limit):
        """How long the server leaves the connection open; the limit when it does not end it."""
        start = time.monotonic()
        self.frames(limit)
        return time.monotonic() - start if self.is_over else limit

    def call(self, stream, method, body=EMPTY, token=None, seconds=10):
        """One whole call: the frames of its stream."""
        data = DataFrame(stream, data=body)
        data.flags.add("END_STREAM")
        self.write(self.head(stream, method, token) + data.serialize())

        def is_last(frame):
            return frame.stream_id == stream and bool({"END_STREAM"} & set(frame.flags)) or isinstance(frame, RstStreamFrame)

        return [frame for frame in self.frames(seconds, until=is_last) if frame.stream_id == stream]


def continuation(stream, data, ends=False):
    frame = ContinuationFrame(stream, data=data)
    if ends:
        frame.flags.add("END_HEADERS")
    return frame.serialize()


def ping(content=bytes(8), ack=False):
    frame = PingFrame(0, content)
    if ack:
        frame.flags.add("ACK")
    return frame.serialize()


def reset(stream):
    return RstStreamFrame(stream, error_code=8).serialize()


def settings(values=None):
    return SettingsFrame(0, settings=values or {}).serialize()


def settings_ack():
    frame = SettingsFrame(0)
    frame.flags.add("ACK")
    return frame.serialize()
