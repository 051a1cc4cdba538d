"""Starting, idling, and memory: with nothing to do, with many connections, under load."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.compare import Case, Sample, Settings
from bench.drive import write
from bench.systems import Durability, Running
from bench.workloads.rounds import KB, Load, check_count, fresh_log, lanes_of

__all__ = ["memory", "start"]

IDLE_S = 1.0
LOOK_S = 0.05
CONNECTIONS = 1000
LOADED = Load(16 * KB, KB, window=4, connections=100)


def start(_: Settings) -> list[Case]:
    """With an empty data directory, until it answers what a client asks first."""
    return [
        Case(
            "start",
            "start to ready",
            "fsync",
            "ms",
            _start,
            lower_is_better=True,
            needs_processes=True,
            aim="400",
        ),
        Case(
            "start",
            "idle resident memory",
            "fsync",
            "MB",
            _idle,
            lower_is_better=True,
            needs_processes=True,
            aim="60",
            rounds=1,
        ),
    ]


@contextmanager
def _another(running: Running, settings: Settings, durability: Durability) -> Iterator[Running]:
    with running.system.start(settings.directory, durability) as another:
        yield another


def _start(running: Running, settings: Settings) -> Sample:
    with _another(running, settings, "fsync") as another:
        return Sample(another.ready_s * 1000, cpu_s=another.cpu_s())


def _idle(running: Running, settings: Settings) -> Sample:
    with _another(running, settings, "fsync") as another:
        time.sleep(IDLE_S)
        before_s = another.cpu_s()
        time.sleep(IDLE_S)
        idle_share = 100 * (another.cpu_s() - before_s) / IDLE_S
        return Sample(another.resident_mb(), detail={"% of a core": idle_share})


def memory(_: Settings) -> list[Case]:
    return [
        Case(
            "memory",
            f"{CONNECTIONS:,} idle connections, extra memory",
            "fsync",
            "MB",
            _connections,
            lower_is_better=True,
            needs_processes=True,
            aim="100",
            rounds=1,
        ),
        Case(
            "memory",
            "resident memory, most while 100 connections send 16 KB batches, 4 under way each",
            "fsync",
            "MB",
            _loaded,
            lower_is_better=True,
            needs_processes=True,
            rounds=1,
        ),
    ]


def _connections(running: Running, settings: Settings) -> Sample:
    with _another(running, settings, "fsync") as another:
        another.driver.create("idle")
        time.sleep(IDLE_S)
        before_mb = another.resident_mb()
        writers = [another.driver.writer("idle") for _ in range(CONNECTIONS)]
        time.sleep(IDLE_S)
        used_mb = another.resident_mb() - before_mb
        for writer in writers:
            writer.close()
    return Sample(used_mb)


def _loaded(running: Running, settings: Settings) -> Sample:
    """Of a process that was just started, so that no other workload is in it."""
    with _another(running, settings, "fsync") as another, fresh_log(another) as log:
        with lanes_of(another.driver, log, LOADED) as (lanes, request), _watched(another) as seen:
            made = write(
                lanes,
                request,
                seconds=settings.seconds,
                bytes_max=LOADED.bytes_max(settings),
            )
        check_count(another, log, made.records)
    return Sample(max(seen), made.elapsed_s, detail={"MB written": made.size_bytes / 1e6})


@contextmanager
def _watched(running: Running) -> Iterator[list[float]]:
    """Its resident memory in MB, every LOOK_S."""
    seen = [running.resident_mb()]
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_S):
            seen.append(running.resident_mb())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
        seen.append(running.resident_mb())
