"""A client in memory that says exactly what it is told to, and handlers for it to call."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from hpack import Decoder, Encoder

from headrace.broker.grpc_stats import GrpcStats
from headrace.doors.http2 import frames
from headrace.doors.http2.call import Call, Handler, Method
from headrace.doors.http2.grpc import GrpcConnection
from headrace.doors.http2.limits import GrpcLimits, MemoryBudget
from headrace.doors.http2.messages import Messages
from headrace.doors.http2.services import Services
from headrace.doors.http2.status import GrpcError, Status
from headrace.doors.http2.unary import unary

Header = tuple[str, str]


class Frame(NamedTuple):
    kind: int
    flags: int
    stream_id: int
    payload: bytes


def parse(received: bytes) -> tuple[list[Frame], bytes]:
    """The frames that are whole, and what follows them."""
    found = []
    start = 0
    while len(received) - start >= frames.FRAME_HEAD_BYTES:
        word, flags, stream_id = frames.FRAME_HEAD.unpack_from(received, start)
        content = start + frames.FRAME_HEAD_BYTES
        end = content + (word >> 8)
        if end > len(received):
            break
        found.append(Frame(word & 0xFF, flags, stream_id, received[content:end]))
        start = end
    return found, received[start:]


class Recorded(Handler):
    """Remembers what it is told; does what the test put into `on`."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.messages: list[bytes] = []
        self.told: list[str] = []
        self.on: dict[str, Callable[[], None]] = {}

    def _happens(self, what: str) -> None:
        self.told.append(what)
        self.on.get(what, lambda: None)()

    def on_messages(self, messages: Messages) -> None:
        self.messages += [bytes(message) for message in messages]
        self._happens("messages")

    def on_end(self) -> None:
        self._happens("end")

    def on_room(self) -> None:
        self._happens("room")

    def on_drain(self) -> None:
        self._happens("drain")

    def on_cancel(self, why: str) -> None:
        self._happens("cancel")


class Echo(Handler):
    """Sends back what comes, pausing while the client does not take it."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def on_messages(self, messages: Messages) -> None:
        self._call.send(messages)
        if not self._call.has_room:
            self._call.pause()

    def on_room(self) -> None:
        self._call.resume()

    def on_end(self) -> None:
        self._call.finish()


class Count(Handler):
    """Answers once, with how many messages there were."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._count = 0

    def on_messages(self, messages: Messages) -> None:
        self._count += len(messages)

    def on_end(self) -> None:
        self._call.send([b"%d" % self._count])
        self._call.finish()


async def who(request: memoryview, call: Call) -> bytes:
    return (call.metadata("authorization") or "nobody").encode()


async def never(request: memoryview, call: Call) -> bytes:
    await asyncio.Event().wait()
    return b""


async def broken(request: memoryview, call: Call) -> bytes:
    raise ZeroDivisionError


async def refuse(request: memoryview, call: Call) -> bytes:
    raise GrpcError(Status.NOT_FOUND, "there is no tåble, 100%")


def refuse_at_once(call: Call) -> Handler:
    raise GrpcError(Status.PERMISSION_DENIED, "not you")


class World:
    """Services of one door and the handlers that were made."""

    def __init__(self) -> None:
        self.recorded: list[Recorded] = []
        self.services = Services()
        self.services.add(
            "t.T",
            {
                "Record": Method(self._record),
                "Echo": Method(Echo),
                "Count": Method(Count),
                "Who": unary(who),
                "Never": unary(never),
                "Broken": unary(broken),
                "Refuse": unary(refuse),
                "RefuseAtOnce": Method(refuse_at_once),
            },
        )

    def _record(self, call: Call) -> Handler:
        self.recorded.append(Recorded(call))
        return self.recorded[-1]


class Peer:
    """A client in memory: `say` frames, see what comes back."""

    def __init__(self, limits: GrpcLimits | None = None, *, greets: bool = True) -> None:
        self.world = World()
        self.limits = limits or GrpcLimits()
        self.budget = MemoryBudget(self.limits)
        self.stats = GrpcStats()
        self.now = 0.0
        self.server = GrpcConnection(
            self.world.services, self.limits, self.budget, self.stats, "peer:1", lambda: None
        )
        self.frames: list[Frame] = []
        """All that came back."""
        self._encoder = Encoder()
        self._decoder = Decoder()
        self._rest = b""
        if greets:
            self.say(frames.PREFACE + frames.settings({}))

    def say(self, data: bytes, *, piece: int = 0) -> list[Frame]:
        """Send bytes, in pieces if told; returns the frames that came back for them."""
        before = len(self.frames)
        for start in range(0, len(data), piece or max(len(data), 1)):
            read = bytearray(data[start : start + piece] if piece else data)
            with memoryview(read) as view:
                self.server.receive(view, self.now)
            read[:] = bytes(len(read))  # a read's memory is used again
            self.hear()
        return self.frames[before:]

    def hear(self, size_bytes_max: int = 1 << 20) -> None:
        while out := self.server.output(size_bytes_max):
            self._rest += bytes(out)
        found, self._rest = parse(self._rest)
        self.frames += found

    def headers(
        self, stream_id: int, path: str = "/t.T/Record", *more: Header, ends: bool = False
    ) -> bytes:
        """A request's HEADERS frame."""
        block = self.block(
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            *more,
        )
        flags = frames.END_HEADERS | (frames.END_STREAM if ends else 0)
        return frames.frame(frames.HEADERS, flags, stream_id, block)

    def block(self, *headers: Header) -> bytes:
        return self._encoder.encode(headers)

    def call(self, stream_id: int = 1, path: str = "/t.T/Record", *more: Header) -> Any:
        """Open a call; returns its handler if it is a recorded one."""
        self.say(self.headers(stream_id, path, *more))
        return self.world.recorded[-1] if self.world.recorded else None

    def answers(self, stream_id: int) -> list[dict[str, str]]:
        """The header lists of a stream so far, decoded in the order of the connection."""
        decoder = Decoder()
        found = []
        for frame in self.frames:
            if frame.kind == frames.HEADERS:
                headers = dict(decoder.decode(frame.payload))
                if frame.stream_id == stream_id:
                    found.append(headers)
        return found

    def status(self, stream_id: int = 1) -> tuple[str, str]:
        """grpc-status and grpc-message."""
        trailers = self.answers(stream_id)[-1]
        return trailers["grpc-status"], trailers.get("grpc-message", "")

    def content(self, stream_id: int = 1) -> bytes:
        return b"".join(
            f.payload for f in self.frames if f.kind == frames.DATA and f.stream_id == stream_id
        )

    def resets(self) -> list[tuple[int, int]]:
        """(stream, error code)"""
        return [
            (f.stream_id, int.from_bytes(f.payload))
            for f in self.frames
            if f.kind == frames.RST_STREAM
        ]

    def goaway(self) -> tuple[int, int, str] | None:
        """(last stream, error code, why) of the last one."""
        found = [f.payload for f in self.frames if f.kind == frames.GOAWAY]
        if not found:
            return None
        last, code = struct.unpack_from(">II", found[-1])
        return last, code, found[-1][8:].decode()


def data(stream_id: int, content: bytes, *, ends: bool = False) -> bytes:
    return frames.frame(frames.DATA, frames.END_STREAM if ends else 0, stream_id, content)
