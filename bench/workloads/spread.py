"""Many connections to one log, and one connection to many partitions."""

from bench.compare import Case, Settings
from bench.systems import DURABILITIES
from bench.workloads.rounds import KB, Load, mb_per_s, records_per_s
from bench.workloads.throughput import written

__all__ = ["connections", "partitions"]

CONNECTIONS = (1, 10, 100, 500)
PARTITIONS = (1, 10, 100, 1000)


def connections(_: Settings) -> list[Case]:
    """Each with one record under way: what many small producers get together."""
    return [
        Case(
            "connections",
            f"produce, 1 KB records one at a time from {count} connection{'s' * (count > 1)}",
            durability,
            "records/s",
            written(Load(KB, KB, window=1, connections=count), records_per_s),
            at={"connections": count},
        )
        for durability in DURABILITIES
        for count in CONNECTIONS
    ]


def partitions(settings: Settings) -> list[Case]:
    """Each request goes to the next: what it costs that a log is many files.

    Making and removing a thousand takes several times as long as a short measurement, so then
    there is one.
    """
    return [
        Case(
            "partitions",
            f"produce, 16 KB batches to {count:,} partition{'s' * (count > 1)}, 64 under way",
            durability,
            "MB/s",
            written(Load(16 * KB, KB, window=64, partitions=count), mb_per_s),
            at={"partitions": count},
            rounds=1 if count == PARTITIONS[-1] and settings.seconds < 1 else None,
        )
        for durability in DURABILITIES
        for count in PARTITIONS
    ]
