"""What rounds of most workloads have in common: a log of their own, writing to it, looking at what
is in it afterwards."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.compare import Sample, Settings
from bench.disk import plain_loop, touch_memory
from bench.drive import Lane, Written, write
from bench.systems import Driver, Request, Running, Writer, values_of

__all__ = [
    "KB",
    "MB",
    "Load",
    "check_count",
    "fresh_log",
    "lanes_of",
    "mb_per_s",
    "percentile_ms",
    "plain_loop_of",
    "records_per_s",
    "write_round",
]

KB = 1024
MB = 1024 * KB
RECORDS_BYTES_MAX = 256 * MB
"""Where records are small a round ends with its time long before."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is written: equal requests of `request_bytes` in values of `record_bytes`."""

    request_bytes: int
    record_bytes: int
    window: int
    """Requests under way on each connection."""
    connections: int = 1
    partitions: int = 1
    """Requests go to them in turn."""

    @property
    def records(self) -> int:
        return max(1, self.request_bytes // self.record_bytes)

    def values(self) -> list[bytes]:
        """Of one request."""
        return values_of(self.record_bytes, self.records)

    def requests(self, writer: Writer) -> list[Request]:
        values = self.values()
        return [writer.request(values, number) for number in range(self.partitions)]

    def bytes_max(self, settings: Settings) -> int:
        most = settings.bytes_max
        return min(most, RECORDS_BYTES_MAX) if self.request_bytes < 64 * KB else most


@contextlib.contextmanager
def fresh_log(running: Running, partitions: int = 1) -> Iterator[str]:
    """An empty log, gone afterwards."""
    log = f"bench-{time.time_ns()}"
    running.driver.create(log, partitions)
    try:
        yield log
    finally:
        running.driver.delete(log)


@contextlib.contextmanager
def lanes_of(driver: Driver, log: str, load: Load) -> Iterator[tuple[list[Lane], Request]]:
    """Its connections, and one of the requests they send."""
    with contextlib.ExitStack() as stack:
        writers = []
        for _ in range(load.connections):
            writer = driver.writer(log)
            stack.callback(writer.close)
            writers.append(writer)
        window = load.window
        if driver.records_under_way_max:
            window = max(1, min(window, driver.records_under_way_max // load.records))
        requests = [load.requests(writer) for writer in writers]
        yield [Lane(*lane, window) for lane in zip(writers, requests, strict=True)], requests[0][0]


def write_round(
    running: Running, settings: Settings, load: Load, value: Callable[[Written], float]
) -> Sample:
    """A new log, as much as time and volume allow, and a look at what is in it."""
    bytes_max = load.bytes_max(settings)
    with fresh_log(running, load.partitions) as log:
        with lanes_of(running.driver, log, load) as (lanes, request):
            touch_memory(settings.directory, bytes_max)
            before_s = running.cpu_s()
            made = write(lanes, request, seconds=settings.seconds, bytes_max=bytes_max)
            cpu_s = running.cpu_s() - before_s
        resident_mb = running.resident_mb()
        check_count(running, log, made.records)
    return Sample(
        value(made),
        seconds=made.elapsed_s,
        records=made.records,
        size_bytes=made.size_bytes,
        cpu_s=cpu_s,
        detail={"client cpu": made.client_cpu_s / made.elapsed_s, "resident MB": resident_mb},
    )


def check_count(running: Running, log: str, records: int) -> None:
    in_log = running.driver.count(log)
    if in_log != records:
        raise RuntimeError(f"{records} records acknowledged, {in_log} in the log")


def plain_loop_of(request_bytes: int, *, sync: bool) -> Callable[[Settings], Sample]:
    """A yardstick: a program that only writes blocks of this size, or writes and syncs each."""

    def run(settings: Settings) -> Sample:
        touch_memory(settings.directory, settings.bytes_max)
        made = plain_loop(
            settings.directory,
            bytes(request_bytes),
            sync=sync,
            seconds=settings.seconds,
            bytes_max=settings.bytes_max,
        )
        rate = made.size_bytes / made.elapsed_s / 1e6
        return Sample(rate, made.elapsed_s, made.requests, made.size_bytes)

    return run


def mb_per_s(made: Written) -> float:
    return made.size_bytes / made.elapsed_s / 1e6


def records_per_s(made: Written) -> float:
    return made.records / made.elapsed_s


def percentile_ms(latencies_s: Sequence[float], share: float) -> float:
    ordered = sorted(latencies_s)
    return 1000 * ordered[min(int(len(ordered) * share), len(ordered) - 1)]
