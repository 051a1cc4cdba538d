"""Reading: one reader of a full log, several that follow a producer, and one that catches up on
cold data while others produce."""

from functools import partial
from typing import Any

from bench.compare import Case, Sample, Settings
from bench.disk import touch_memory
from bench.drive import one_by_one, read_all, read_beside, write, write_and_follow
from bench.processes import drop_page_cache
from bench.systems import DURABILITIES, Running
from bench.workloads.rounds import (
    KB,
    MB,
    Load,
    check_count,
    fresh_log,
    lanes_of,
    percentile_ms,
)

__all__ = ["catch_up", "fan_out", "fetch"]

GROUPS = (1, 3, 10)
FETCHED = Load(MB, KB, window=8)
FOLLOWED = Load(64 * KB, KB, window=8)
COLD_BYTES_MAX = 512 * MB
FILL_ROUNDS = 3
"""What is read is written for so many times as long as a measurement takes, where that is slow."""


def fetch(_: Settings) -> list[Case]:
    return [
        Case("fetch", "read 1 MB batches that were just written", "os", "MB/s", _fetch, aim="2,500")
    ]


def _fetch(running: Running, settings: Settings) -> Sample:
    with fresh_log(running) as log:
        with lanes_of(running.driver, log, FETCHED) as (lanes, request):
            bytes_max = _volume(settings, settings.bytes_max)
            made = write(
                lanes, request, seconds=FILL_ROUNDS * settings.seconds, bytes_max=bytes_max
            )
        check_count(running, log, made.records)
        return _read(running, log, made.records)


def _volume(settings: Settings, most: int) -> int:
    """Short measurements read less."""
    return min(most, int(settings.seconds * 512 * MB))


def _read(running: Running, log: str, records: int) -> Sample:
    reader = running.driver.reader(log)
    try:
        before_s = running.cpu_s()
        read = read_all([reader], records)
        cpu_s = running.cpu_s() - before_s
    finally:
        reader.close()
    size_bytes = records * KB
    rate = size_bytes / read.elapsed_s / 1e6
    detail = {"client cpu": read.client_cpu_s / read.elapsed_s}
    return Sample(rate, read.elapsed_s, records, size_bytes, cpu_s, detail)


def fan_out(_: Settings) -> list[Case]:
    return [
        Case(
            "fan-out",
            f"one producer of 64 KB batches, {count} reader{'s' * (count > 1)} of all of it",
            durability,
            "MB/s read",
            partial(_follow, readers_count=count),
            at={"readers": count},
        )
        for durability in DURABILITIES
        for count in GROUPS
    ]


def _follow(running: Running, settings: Settings, *, readers_count: int) -> Sample:
    with fresh_log(running) as log, lanes_of(running.driver, log, FOLLOWED) as (lanes, request):
        readers = [running.driver.reader(log) for _ in range(readers_count)]
        bytes_max = _volume(settings, settings.bytes_max)
        touch_memory(settings.directory, bytes_max)
        try:
            before_s = running.cpu_s()
            written, read = write_and_follow(
                lanes, readers, request, seconds=settings.seconds, bytes_max=bytes_max
            )
            cpu_s = running.cpu_s() - before_s
        finally:
            for reader in readers:
                reader.close()
        check_count(running, log, written.records)
    size_bytes = read.records * KB
    detail = {
        "MB/s produced": written.size_bytes / written.elapsed_s / 1e6,
        "client cpu": read.client_cpu_s / read.elapsed_s,
    }
    rate = size_bytes / read.elapsed_s / 1e6
    return Sample(rate, read.elapsed_s, read.records, size_bytes, cpu_s, detail)


def catch_up(_: Settings) -> list[Case]:
    """The reader begins at the start, which is not in memory any more; meanwhile a producer sends
    one batch at a time to the end."""
    return [
        Case(
            "catch-up",
            "read cold data from the start while one producer goes on",
            durability,
            "MB/s",
            _catch_up,
        )
        for durability in DURABILITIES
    ]


def _catch_up(running: Running, settings: Settings) -> Sample:
    load = FOLLOWED
    with fresh_log(running) as log:
        with lanes_of(running.driver, log, load) as (lanes, request):
            volume = _volume(settings, COLD_BYTES_MAX)
            made = write(lanes, request, seconds=FILL_ROUNDS * settings.seconds, bytes_max=volume)
        check_count(running, log, made.records)
        writer, reader = running.driver.writer(log), running.driver.reader(log)
        try:
            [request] = load.requests(writer)
            alone = one_by_one(writer, request, seconds=settings.seconds / 2)
            how = drop_page_cache(settings.directory)
            before_s = running.cpu_s()
            read, beside_s = read_beside(reader, made.records, writer, request)
            cpu_s = running.cpu_s() - before_s
        finally:
            writer.close()
            reader.close()
        acked = made.records + alone.records + len(beside_s) * request.records
        check_count(running, log, acked)
    detail: dict[str, Any] = {
        "ack p50 ms": percentile_ms(beside_s, 0.5),
        "ack p99 ms": percentile_ms(beside_s, 0.99),
        "ack p50 ms alone": percentile_ms(alone.latencies_s, 0.5),
        "made cold by": how,
    }
    size_bytes = made.records * KB
    rate = size_bytes / read.elapsed_s / 1e6
    return Sample(rate, read.elapsed_s, made.records, size_bytes, cpu_s, detail)
