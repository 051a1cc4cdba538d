"""`python -m proof.crowd`: ten thousand connections to a door at once, beside a client that works.

They come as fast as they can, greet (gRPC), say nothing for a while, and are all gone at once. What
is told: memory for each, how long it took until all were served, and how long the working client
waited for its acknowledgements before, while they came, while they were there, and as they went.
"""

import argparse
import contextlib
import resource
import selectors
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from headrace.doors.http2 import frames
from headrace.testing.raw_client import RawClient, batch
from headrace.wire.messages.k03_metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
)
from headrace.wire.messages.k18_api_versions import ApiVersionsRequest
from proof.broker import HeadraceBroker
from proof.chaos.faults.crowds import SOURCES

__all__ = ["main"]

QUIET_S: Final = 3.0
TIMEOUT_S: Final = 60.0
TOPIC: Final = "live"


class Worker:
    """Produces one record after the other, and remembers how long each took, by phase."""

    def __init__(self, port: int) -> None:
        self.phase = "before"
        self.took_s: dict[str, list[float]] = {}
        self._client = RawClient("127.0.0.1", port, timeout_s=TIMEOUT_S)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        while not self._is_over.wait(0.005):
            phase, began_s = self.phase, time.perf_counter()
            answer = self._client.produce(TOPIC, 0, batch([b"v" * 100]))
            assert answer.error_code == 0, answer.error_message
            self.took_s.setdefault(phase, []).append(time.perf_counter() - began_s)

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()
        self._client.close()


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def _greeting(door: str, client: RawClient) -> bytes:
    if door == "grpc":
        return frames.PREFACE + frames.settings({})
    return client.framed(ApiVersionsRequest("crowd", "1"), 3)


@contextlib.contextmanager
def _crowd(count: int, port: int, greeting: bytes) -> Iterator[float]:
    """So many connections that were all answered; how long that took."""
    waiting = selectors.DefaultSelector()
    made = []
    began_s = time.perf_counter()
    try:
        for number in range(count):
            one = socket.socket()
            one.bind((f"127.0.1.{number % SOURCES + 1}", 0))
            one.connect(("127.0.0.1", port))
            one.sendall(greeting)
            made.append(one)
            waiting.register(one, selectors.EVENT_READ)
        left = count
        while left:
            ready = waiting.select(TIMEOUT_S)
            assert ready, f"{left} of {count} were not answered"
            for key, _ in ready:
                waiting.unregister(key.fileobj)
                left -= 1
        yield time.perf_counter() - began_s
    finally:
        for one in made:
            one.close()
        waiting.close()


def _run(door: str, count: int) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="headrace-crowd-") as place,
        HeadraceBroker(Path(place), "os", with_grpc=True) as broker,
    ):
        with RawClient("127.0.0.1", broker.port) as client:
            topics = [MetadataRequestTopic(name=TOPIC)]
            asked = MetadataRequest(topics=topics, allow_auto_topic_creation=True)
            client.ask(asked, MetadataResponse, 12)
            greeting = _greeting(door, client)
        target = broker.grpc_port if door == "grpc" else broker.port
        worker = Worker(broker.port)
        try:
            time.sleep(QUIET_S)
            before = _resident_bytes(broker.process.pid)
            worker.phase = "while they came"
            with _crowd(count, target, greeting) as took_s:
                worker.phase = "while they were there"
                time.sleep(QUIET_S)
                grown = _resident_bytes(broker.process.pid) - before
                worker.phase = "as they went"
            time.sleep(QUIET_S)
        finally:
            worker.stop()
    print(
        f"{door}: {count:,} connections served in {took_s:.1f} s, {grown / count:,.0f} bytes each"
    )
    for phase, all_s in worker.took_s.items():
        ordered = sorted(all_s)
        middle, late = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
        print(
            f"  {phase:22} {len(ordered):5} acks: p50 {middle * 1000:.2f} ms, "
            f"p99 {late * 1000:.2f} ms, most {ordered[-1] * 1000:.1f} ms"
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m proof.crowd", description=__doc__)
    parser.add_argument("--door", choices=("kafka", "grpc"), default="kafka")
    parser.add_argument("--connections", type=int, default=9_990)
    options = parser.parse_args()
    _run(options.door, options.connections)
    return 0


if __name__ == "__main__":
    sys.exit(main())
