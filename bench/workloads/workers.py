"""Throughput with several workers (`headrace serve --workers N`): eight producers, each with a
partition of its own, at the workers that have them."""

import statistics
import time
from collections.abc import Iterator
from typing import Final

from confluent_kafka.admin import AdminClient

from bench.compare import Settings
from bench.disk import touch_memory
from bench.drive import Lane, Written, write
from bench.processes import cpu_s
from bench.raw_kafka import KafkaDriver, KafkaWriter
from bench.report import Row
from bench.server import serving
from bench.systems import DURABILITIES, Durability
from bench.workloads.rounds import KB, MB, Load, mb_per_s, records_per_s

__all__ = ["workers"]

WORKERS: Final = (1, 2, 4)
PRODUCERS: Final = 8
LOADS: Final = (
    ("1 MB batches, 2 under way each", "MB/s", mb_per_s, Load(MB, KB, window=2)),
    ("1 KB records, 16 under way each", "records/s", records_per_s, Load(KB, KB, window=16)),
)


def workers(settings: Settings) -> Iterator[Row]:
    """The ratio is that to one worker. Client and workers share the cores."""
    for durability in DURABILITIES:
        first: dict[str, float] = {}
        for count in WORKERS:
            options = ["--workers", str(count)] if count > 1 else []
            with serving(settings.directory, durability, *options) as ours:
                for what, unit, value, load in LOADS:
                    before_s = cpu_s([ours.process.pid])
                    made = [
                        _round(ours.bootstrap, durability, load, settings)
                        for _ in range(settings.rounds)
                    ]
                    used_s = cpu_s([ours.process.pid]) - before_s
                    rate = statistics.median(map(value, made))
                    row = Row(
                        f"{PRODUCERS} producers, {what}, {_several(count)}", durability, rate, unit
                    )
                    row.detail["cpu s/GB"] = used_s / sum(one.size_bytes for one in made) * 1e9
                    yield row.beside("1 worker", first.setdefault(what, rate))


def _several(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"


def _round(bootstrap: str, durability: Durability, load: Load, settings: Settings) -> Written:
    driver = KafkaDriver(bootstrap, durability)
    topic = f"workers-{time.time_ns()}"
    driver.create(topic, PRODUCERS)
    bytes_max = load.bytes_max(settings)
    lanes = []
    for partition, leader in enumerate(_leaders(bootstrap, topic)):
        writer = KafkaWriter(leader, topic)
        requests = [writer.request(load.values(), partition)]
        lanes.append(Lane(writer, requests, load.window))
    touch_memory(settings.directory, bytes_max)
    made = write(lanes, requests[0], seconds=settings.seconds, bytes_max=bytes_max)
    for lane in lanes:
        lane.writer.close()
    in_log = driver.count(topic)
    driver.delete(topic)
    if in_log != made.records:
        raise RuntimeError(f"{made.records} records acknowledged, {in_log} in the log")
    return made


def _leaders(bootstrap: str, topic: str) -> list[str]:
    """HOST:PORT of the worker that has each partition."""
    metadata = AdminClient({"bootstrap.servers": bootstrap}).list_topics(topic, timeout=30)
    partitions = metadata.topics[topic].partitions
    brokers = [metadata.brokers[partitions[number].leader] for number in range(PRODUCERS)]
    return [f"{broker.host}:{broker.port}" for broker in brokers]
