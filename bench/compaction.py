"""How fast a topic is compacted, and what one small producer of another topic feels of it.

The topic is filled first, with keys that come again and again; then it may be compacted. Meanwhile,
and before it, acknowledgements are timed one by one. Rates are the broker's own: what its passes
went through, by how long they took.
"""

import os
import random
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from bench.compare import Settings
from bench.drive import Lane, one_by_one, write
from bench.processes import free_port
from bench.raw_kafka import KafkaWriter
from bench.report import Row
from bench.server import serving
from bench.systems import values_of
from headrace.wire.records import Record, build_batch

__all__ = ["compaction"]

KEYS = 100_000
RECORDS_PER_BATCH = 100
BATCHES = 50
"""Different ones; they are sent in turn."""
PIECE_S = 0.25
COMPACTION_S_MAX = 300
FILL_S_MAX = 300
RATIO = "min.cleanable.dirty.ratio"


@dataclass(frozen=True, slots=True)
class Shape:
    record_bytes: int
    codec: int
    name: str


SHAPES = (Shape(1000, 0, "1 KB records"), Shape(100, 0, "100-byte records"))


def compaction(settings: Settings) -> Iterator[Row]:
    for shape in SHAPES:
        yield from _compact(settings, shape)


def _compact(settings: Settings, shape: Shape) -> Iterator[Row]:
    http = f"127.0.0.1:{free_port()}"
    options = ["--http", http, "--broker", "log.cleaner.backoff.ms=100"]
    with serving(settings.directory, "fsync", *options) as ours:
        admin = AdminClient({"bootstrap.servers": ours.bootstrap})
        compacted = {"cleanup.policy": "compact", RATIO: "1.0", "segment.bytes": "67108864"}
        wanted = [NewTopic("dirty", 1, 1, config=compacted), NewTopic("acks", 1, 1)]
        for future in admin.create_topics(wanted).values():
            future.result(30)
        filled_bytes = _fill(ours.bootstrap, shape, settings.bytes_max // 4)
        idle = _latencies(ours.bootstrap, lambda elapsed_s: elapsed_s < settings.seconds)
        _set_ratio(admin, "0.0")
        busy = _latencies(ours.bootstrap, lambda _: not _metric(http, "passes"))
        seconds, read, freed = (
            _metric(http, name) for name in ("seconds", "read_bytes", "freed_bytes")
        )
    detail = {"filled MB": filled_bytes / 1e6, "freed MB": freed / 1e6, "seconds": seconds}
    yield Row(f"compaction, {shape.name}", "fsync", read / seconds / 1e6, "MB/s", detail=detail)
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        row = Row(f"ack while compacting {shape.name}, {name}", "fsync", _ms(busy, share), "ms")
        yield row.beside("idle", _ms(idle, share))


def _fill(bootstrap: str, shape: Shape, bytes_max: int) -> int:
    chance = random.Random(7)
    writer = KafkaWriter(bootstrap, "dirty")
    batches = [_batch(chance, shape) for _ in range(BATCHES)]
    requests = [writer.request_of(one, RECORDS_PER_BATCH, len(one), 0) for one in batches]
    lane = Lane(writer, requests, window=4)
    made = write([lane], requests[0], seconds=FILL_S_MAX, bytes_max=bytes_max)
    writer.close()
    return made.size_bytes


def _batch(chance: random.Random, shape: Shape) -> bytes:
    now_ms = time.time_ns() // 1_000_000
    value = os.urandom(shape.record_bytes)
    records = [
        Record(timestamp_ms=now_ms, key=b"key-%08d" % chance.randrange(KEYS), value=value)
        for _ in range(RECORDS_PER_BATCH)
    ]
    return build_batch(records, codec=shape.codec)


def _latencies(bootstrap: str, goes_on: Callable[[float], bool]) -> list[float]:
    writer = KafkaWriter(bootstrap, "acks")
    request = writer.request(values_of(200))
    latencies: list[float] = []
    started = time.perf_counter()
    while goes_on(time.perf_counter() - started):
        latencies += one_by_one(writer, request, seconds=PIECE_S).latencies_s
        if time.perf_counter() - started > COMPACTION_S_MAX:
            raise RuntimeError("compaction does not come to an end")
    writer.close()
    return latencies


def _set_ratio(admin: AdminClient, ratio: str) -> None:
    entry = ConfigEntry(RATIO, ratio, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, "dirty", incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(30)


def _metric(http: str, name: str) -> float:
    with urllib.request.urlopen(f"http://{http}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    [found] = re.findall(rf"^headrace_compaction_{name}_total (\S+)$", text, re.MULTILINE)
    return float(found)


def _ms(latencies_s: list[float], share: float) -> float:
    ordered = sorted(latencies_s)
    return 1000 * ordered[min(int(len(ordered) * share), len(ordered) - 1)]
