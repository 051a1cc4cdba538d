"""Keeping connections busy: a window of requests under way on each, answers counted.

Blocking sockets in one thread. With one connection it is a plain loop; with many, epoll says which
has answers. Servers are faster than they look here only where this loop is what takes the time;
`client_cpu_s` tells.
"""

import itertools
import selectors
import time
from collections.abc import Sequence
from typing import NamedTuple

from bench.systems import Reader, Request, Writer

__all__ = [
    "Lane",
    "Read",
    "Written",
    "one_by_one",
    "read_all",
    "read_beside",
    "write",
    "write_and_follow",
]

RECEIVE_BYTES = 1 << 20
BURST_BYTES = 16 * 1024
"""Small requests are handed to the socket together, half a window at most."""
SILENCE_S_MAX = 20.0


class Written(NamedTuple):
    """What was acknowledged."""

    requests: int
    records: int
    size_bytes: int
    elapsed_s: float
    latencies_s: list[float]
    """Of each request, only when sent one by one."""
    client_cpu_s: float

    @property
    def bytes_per_s(self) -> float:
        return self.size_bytes / self.elapsed_s


class Read(NamedTuple):
    records: int
    elapsed_s: float
    client_cpu_s: float


class Lane:
    """One connection, the requests it sends in turn, and how many answers it waits for."""

    def __init__(self, writer: Writer, requests: Sequence[Request], window: int) -> None:
        self.writer = writer
        first = requests[0]
        group = max(1, min(window // 2, BURST_BYTES // len(first.data)))
        self._bursts = itertools.cycle(_in_bursts(requests, group))
        self._answers_max = window * first.answers
        self._burst_answers = group * first.answers
        self.waiting = 0
        self.requests = 0

    def fill(self) -> int:
        """Send until the window is full; how many requests that were."""
        before = self.requests
        while self.waiting + self._burst_answers <= self._answers_max:
            burst, requests = next(self._bursts)
            self.writer.socket.sendall(burst)
            self.waiting += self._burst_answers
            self.requests += requests
        return self.requests - before

    def receive(self) -> None:
        self.waiting -= self.writer.answered(_some(self.writer))


def _in_bursts(requests: Sequence[Request], group: int) -> list[tuple[bytes, int]]:
    """All requests in turn, `group` at a time; as many bursts as it takes to come round."""
    turns = itertools.cycle(request.data for request in requests)
    bursts = 1 if len(requests) == 1 else len(requests)
    return [(b"".join(itertools.islice(turns, group)), group) for _ in range(bursts)]


def write(lanes: Sequence[Lane], request: Request, *, seconds: float, bytes_max: int) -> Written:
    """Keep all lanes full until time or volume is up, then wait for the rest.

    `request` is what they send, for the sum: requests of one run are of one size.
    """
    return write_and_follow(lanes, [], request, seconds=seconds, bytes_max=bytes_max)[0]


def write_and_follow(
    lanes: Sequence[Lane],
    readers: Sequence[Reader],
    request: Request,
    *,
    seconds: float,
    bytes_max: int,
) -> tuple[Written, Read]:
    """`write` while each of `readers` reads all of it; until the last has the last record."""
    cpu_before, started = time.process_time(), time.perf_counter()
    requests_max = bytes_max // request.size_bytes
    if len(lanes) == 1 and not readers:
        _write_alone(lanes[0], started + seconds, requests_max)
        written_s = time.perf_counter() - started
    else:
        run = _Together(lanes, readers, request.records)
        written_s = run.until(started + seconds, requests_max) - started
    elapsed_s = time.perf_counter() - started
    used_s = time.process_time() - cpu_before
    sent = sum(lane.requests for lane in lanes)
    records = sent * request.records
    written = Written(sent, records, sent * request.size_bytes, written_s, [], used_s)
    return written, Read(records * len(readers), elapsed_s, used_s)


def _write_alone(lane: Lane, until: float, requests_max: int) -> None:
    while time.perf_counter() < until and lane.requests < requests_max:
        lane.fill()
        lane.receive()
    while lane.waiting:
        lane.receive()


class _Together:
    """Many connections under one selector."""

    def __init__(
        self, lanes: Sequence[Lane], readers: Sequence[Reader], records_per_request: int
    ) -> None:
        self._lanes = lanes
        self._readers = readers
        self._per_request = records_per_request
        self._requests = 0
        self._read = dict.fromkeys(range(len(readers)), 0)

    def until(self, stop_at: float, requests_max: int) -> float:
        """Write until then, go on until all is answered and read; when the last answer came."""
        with selectors.DefaultSelector() as selector:
            for number, reader in enumerate(self._readers):
                selector.register(reader.socket, selectors.EVENT_READ, number)
                reader.start()
            for lane in self._lanes:
                selector.register(lane.writer.socket, selectors.EVENT_READ, lane)
                self._requests += lane.fill()
            written_at = 0.0
            while not written_at or self._someone_lacks():
                ready = selector.select(SILENCE_S_MAX)
                if not ready:
                    raise TimeoutError(f"nothing came for {SILENCE_S_MAX:.0f} s")
                goes_on = time.perf_counter() < stop_at and self._requests < requests_max
                for key, _ in ready:
                    if isinstance(key.data, Lane):
                        key.data.receive()
                        if goes_on:
                            self._requests += key.data.fill()
                    else:
                        self._read[key.data] += self._readers[key.data].receive()
                if not goes_on and not written_at and not any(lane.waiting for lane in self._lanes):
                    written_at = time.perf_counter()
        return written_at

    def _someone_lacks(self) -> bool:
        records = self._requests * self._per_request
        return any(read < records for read in self._read.values())


def one_by_one(writer: Writer, request: Request, *, seconds: float) -> Written:
    """One request at a time: what one small producer waits for its acknowledgement."""
    latencies: list[float] = []
    cpu_before = time.process_time()
    started = now = time.perf_counter()
    while now - started < seconds:
        writer.socket.sendall(request.data)
        waiting = request.answers
        while waiting:
            waiting -= writer.answered(_some(writer))
        done = time.perf_counter()
        latencies.append(done - now)
        now = done
    count = len(latencies)
    used = time.process_time() - cpu_before
    size_bytes = count * request.size_bytes
    return Written(count, count * request.records, size_bytes, now - started, latencies, used)


def read_all(readers: Sequence[Reader], records: int) -> Read:
    """Every reader reads this many records from the start; until the last has them."""
    left = {id(reader): records for reader in readers}
    cpu_before, started = time.process_time(), time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            selector.register(reader.socket, selectors.EVENT_READ, reader)
            reader.start()
        while left:
            ready = selector.select(SILENCE_S_MAX)
            if not ready:
                raise TimeoutError(f"readers lack {sum(left.values())} records")
            for key, _ in ready:
                reader = key.data
                left[id(reader)] -= reader.receive()
                if left[id(reader)] <= 0:
                    del left[id(reader)]
                    selector.unregister(reader.socket)
    elapsed = time.perf_counter() - started
    return Read(records * len(readers), elapsed, time.process_time() - cpu_before)


def read_beside(
    reader: Reader, records: int, writer: Writer, request: Request
) -> tuple[Read, list[float]]:
    """Read so many records while `writer` sends one request after the other; how long each of
    those took, in seconds."""
    latencies: list[float] = []
    cpu_before, started = time.process_time(), time.perf_counter()
    read, waiting, sent_at = 0, 0, 0.0
    with selectors.DefaultSelector() as selector:
        selector.register(reader.socket, selectors.EVENT_READ, reader)
        selector.register(writer.socket, selectors.EVENT_READ, writer)
        reader.start()
        while read < records or waiting:
            if not waiting:
                sent_at = time.perf_counter()
                writer.socket.sendall(request.data)
                waiting = request.answers
            ready = selector.select(SILENCE_S_MAX)
            if not ready:
                raise TimeoutError(f"nothing came for {SILENCE_S_MAX:.0f} s")
            for key, _ in ready:
                if key.data is writer:
                    waiting -= writer.answered(_some(writer))
                    if not waiting:
                        latencies.append(time.perf_counter() - sent_at)
                elif read < records:
                    read += reader.receive()
                    elapsed_s = time.perf_counter() - started
                else:
                    selector.unregister(reader.socket)
    return Read(read, elapsed_s, time.process_time() - cpu_before), latencies


def _some(writer: Writer) -> bytes:
    data = writer.socket.recv(RECEIVE_BYTES)
    if not data:
        raise ConnectionError("the server closed the connection")
    return data
