"""One producer: large batches, small batches, one record at a time, and throughput against the
size of a batch."""

from collections.abc import Callable
from functools import partial

from bench.compare import Case, Sample, Settings
from bench.drive import Written, one_by_one
from bench.systems import DURABILITIES, Durability, Running, values_of
from bench.workloads.rounds import (
    KB,
    MB,
    Load,
    check_count,
    fresh_log,
    mb_per_s,
    percentile_ms,
    plain_loop_of,
    records_per_s,
    write_round,
)

__all__ = ["batch_sizes", "large_batches", "one_record_at_a_time", "small_batches"]

LARGE = Load(MB, KB, window=8)
SMALL = Load(KB, 100, window=64)
SIZES = {KB: 64, 4 * KB: 64, 16 * KB: 64, 64 * KB: 16, 256 * KB: 8, MB: 8}
"""Batch size and how many are under way."""


def written(load: Load, value: Callable[[Written], float]) -> Callable[[Running, Settings], Sample]:
    return partial(_write, load=load, value=value)


def _write(
    running: Running, settings: Settings, *, load: Load, value: Callable[[Written], float]
) -> Sample:
    return write_round(running, settings, load, value)


def large_batches(_: Settings) -> list[Case]:
    return [
        Case(
            "large",
            "produce, 1 MB batches of 1 KB records, 8 under way",
            durability,
            "MB/s",
            written(LARGE, mb_per_s),
            aim="2,500" if durability == "os" else "0.9 of plain loop",
            yardstick=plain_loop_of(MB, sync=durability == "fsync"),
        )
        for durability in DURABILITIES
    ]


def small_batches(_: Settings) -> list[Case]:
    return [
        Case(
            "small",
            "produce, 1 KB batches of 100-byte records, 64 under way",
            durability,
            "records/s",
            written(SMALL, records_per_s),
            aim="400,000" if durability == "os" else "0.9 of plain loop",
            yardstick=_plain_records(durability),
        )
        for durability in DURABILITIES
    ]


def _plain_records(durability: Durability) -> Callable[[Settings], Sample]:
    loop = plain_loop_of(KB, sync=durability == "fsync")

    def run(settings: Settings) -> Sample:
        sample = loop(settings)
        sample.value = SMALL.records * sample.records / sample.seconds
        return sample

    return run


def one_record_at_a_time(_: Settings) -> list[Case]:
    return [
        Case(
            "ack",
            "ack of one 200-byte record at a time, p50",
            durability,
            "ms",
            _one_by_one,
            lower_is_better=True,
            aim="1" if durability == "fsync" else "",
        )
        for durability in DURABILITIES
    ]


def _one_by_one(running: Running, settings: Settings) -> Sample:
    with fresh_log(running) as log:
        writer = running.driver.writer(log)
        try:
            request = writer.request(values_of(200))
            made = one_by_one(writer, request, seconds=settings.seconds)
        finally:
            writer.close()
        check_count(running, log, made.records)
    return Sample(
        percentile_ms(made.latencies_s, 0.5),
        seconds=made.elapsed_s,
        records=made.records,
        size_bytes=made.size_bytes,
        detail={
            "p99 ms": percentile_ms(made.latencies_s, 0.99),
            "p99.9 ms": percentile_ms(made.latencies_s, 0.999),
            "records/s": made.records / made.elapsed_s,
        },
    )


def batch_sizes(_: Settings) -> list[Case]:
    return [
        Case(
            "sizes",
            f"produce, {size // KB} KB batches of 1 KB records, {window} under way",
            durability,
            "MB/s",
            written(Load(size, KB, window), mb_per_s),
            at={"batch_bytes": size},
            yardstick=plain_loop_of(size, sync=True) if durability == "fsync" else None,
        )
        for durability in DURABILITIES
        for size, window in SIZES.items()
    ]
