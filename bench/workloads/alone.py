"""What has no like in the other systems, or brings its own: rows of Headrace alone."""

import statistics
import time
from collections.abc import Iterator

from bench.compaction import compaction
from bench.compare import Settings
from bench.groups import idle_groups, large_group
from bench.ingest import ingest_streams
from bench.next_generation import large_next_generation_group
from bench.one_more import one_more_member
from bench.report import Row
from bench.zerobus import zerobus_streams
from headrace.testing import running_broker

__all__ = ["compaction", "fixture", "groups", "ingest_streams", "one_more", "zerobus_streams"]

STARTS = 5


def fixture(_: Settings) -> Iterator[Row]:
    """The broker inside a test."""
    ready_ms: list[float] = []
    for _number in range(STARTS):
        started = time.perf_counter()
        with running_broker():
            ready_ms.append(1000 * (time.perf_counter() - started))
    row = Row("test fixture to ready, median of 5", "os", statistics.median(ready_ms), "ms")
    row.aim = "< 100 ms"
    row.detail["slowest ms, with imports"] = max(ready_ms)
    yield row


def groups(settings: Settings) -> Iterator[Row]:
    """A large group forms and stays; many small ones idle."""
    yield from large_group(settings.directory, settings.seconds)
    yield from large_next_generation_group(settings.directory, settings.seconds)
    yield from idle_groups(settings.directory)


def one_more(settings: Settings) -> Iterator[Row]:
    """What it costs a group that one more member comes."""
    yield from one_more_member(
        settings.directory, settings.rounds, settings.peer, settings.peer_name
    )
