"""Bytes that no client would send: conversations that are true in the main, and then damaged.

    python -m tests.doors.http2.fuzzer [SECONDS] [SEED]     prints the seed of every failure

Whatever comes, the connection answers, or ends with a code that RFC 9113 has; it never raises,
holds no more than its bounds, and gives all of it back when it is gone.
"""

import random
import sys
import time

from headrace.doors.http2 import frames
from headrace.doors.http2.frames import ErrorCode
from headrace.doors.http2.limits import GrpcLimits
from headrace.doors.http2.messages import prefixed
from tests.doors.http2.peer import Peer

LIMITS = GrpcLimits(
    streams_max=8,
    stream_window_bytes_max=128 * 1024,
    receive_bytes_max=1024 * 1024,
    message_bytes_max=64 * 1024,
)
PATHS = ("/t.T/Record", "/t.T/Echo", "/t.T/RefuseAtOnce", "/t.T/Nowhere", "/")
SEEDS = range(100)
"""What every run of the tests goes through."""


def run(seed: int) -> Peer:
    """One conversation. Raises whatever is wrong with the door."""
    rng = random.Random(seed)
    peer = Peer(LIMITS, greets=rng.random() < 0.97)
    for _ in range(rng.randrange(1, 40)):
        peer.now += rng.random() / 10
        data = _said(peer, rng)
        if rng.random() < 0.3:
            data = damaged(data, rng)
        peer.say(data, piece=rng.choice((0, 0, 7, 100)))
        _handlers_act(peer, rng)
        _check(peer)
    peer.server.tick(peer.now + rng.randrange(10))
    peer.server.lost()
    held = (peer.budget.held_bytes, peer.budget.streams, peer.budget.unsent_bytes)
    assert held == (0, 0, 0), held
    assert peer.stats.calls == 0
    return peer


def _said(peer: Peer, rng: random.Random) -> bytes:
    stream_id = rng.randrange(1, 24, 2)
    choice = rng.randrange(12)
    if choice < 3:
        more = rng.choice(((), (("grpc-timeout", "1S"),), (("x", "y" * rng.randrange(20_000)),)))
        return peer.headers(stream_id, rng.choice(PATHS), *more, ends=rng.random() < 0.2)
    if choice < 7:
        messages = [bytes(rng.randrange(2000)) for _ in range(rng.randrange(10))]
        content = prefixed(messages)[: rng.randrange(20_000)]
        flags = rng.choice((0, 0, 0, frames.END_STREAM))
        if rng.random() < 0.2:
            padding = rng.randrange(256)
            content = bytes([padding]) + content + bytes(padding)
            flags |= frames.PADDED
        return frames.frame(frames.DATA, flags, stream_id, content)
    if choice == 7:
        return frames.rst_stream(stream_id, rng.choice(list(ErrorCode)))
    if choice == 8:
        return frames.window_update(rng.choice((0, stream_id)), rng.randrange(1 << 20))
    if choice == 9:
        key = rng.choice(list(frames.Setting))
        return frames.settings({key: rng.choice((0, 1, 100, 20_000, 1 << 31))})
    if choice == 10:
        return frames.frame(frames.PING, rng.randrange(2), 0, b"draining")
    size = rng.randrange(50)
    return frames.frame(rng.randrange(12), rng.randrange(256), stream_id, rng.randbytes(size))


def damaged(data: bytes, rng: random.Random) -> bytes:
    broken = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(broken) + 1)
        choice = rng.randrange(4)
        if choice == 0:
            del broken[at : at + rng.randrange(20)]
        elif choice == 1:
            broken[at:at] = rng.randbytes(rng.randrange(20))
        elif at < len(broken):
            broken[at] ^= 1 << rng.randrange(8)
    return bytes(broken)


def _handlers_act(peer: Peer, rng: random.Random) -> None:
    for handler in peer.world.recorded:
        choice = rng.randrange(20)
        if choice == 0:
            handler.call.pause()
        elif choice == 1:
            handler.call.resume()
        elif choice == 2:
            handler.call.send([bytes(rng.randrange(5000))])
        elif choice == 3:
            handler.call.finish()
    if rng.random() < 0.02:
        peer.server.drain()
    peer.hear()


def _check(peer: Peer) -> None:
    goaway = peer.goaway()
    assert goaway is None or goaway[1] in list(ErrorCode), goaway
    assert all(code in list(ErrorCode) for _, code in peer.resets())
    http = peer.server.http
    if goaway is not None and goaway[1]:
        assert http.fault is not None
        assert not http.streams
    assert len(http.streams) == peer.budget.streams <= LIMITS.streams_max
    held = sum(stream.held_bytes for stream in http.streams.values())
    assert peer.budget.held_bytes == held
    assert held <= LIMITS.receive_bytes_max + LIMITS.frame_bytes_max
    unsent = sum(len(stream.unsent) for stream in http.streams.values())
    assert peer.budget.unsent_bytes == unsent


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() // 1000 % 10**9
    began, first, failures = time.monotonic(), seed, 0
    while time.monotonic() - began < seconds:
        try:
            run(seed)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
            failures += 1
            print(f"seed {seed}: {type(error).__name__}: {error}", flush=True)
        seed += 1
    print(f"{seed - first} conversations from seed {first}, {failures} failures")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
