"""The measurements, one function a table row (or a few). Each brings its own broker and topic."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bench.compaction import compaction
from bench.disk import plain_loop, touch_memory
from bench.groups import idle_groups, large_group
from bench.ingest import ingest_streams
from bench.next_generation import large_next_generation_group
from bench.one_more import one_more_member
from bench.raw import Connection, Produced, batch_of, fetch_through, produce, produce_one_by_one
from bench.report import Row
from bench.server import Serving, serving
from bench.transactions import commit_ms, records_per_s
from bench.zerobus import zerobus_streams
from headrace.testing import running_broker

__all__ = ["WORKLOADS", "Settings"]

ACKS_ALL = -1
TOPIC = "bench"
KB = 1024
MB = 1024 * 1024
LED_S_MAX = 30.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How long and where; `peer` is another Kafka broker to run the same against."""

    directory: str
    seconds: float
    bytes_max: int
    rounds: int
    peer: str | None
    peer_name: str


@contextmanager
def fresh_topic(bootstrap: str, durability: str) -> Iterator[str]:
    """An empty topic of one partition that takes batches of 1 MB and somewhat more.

    For durable rows it asks for `flush.messages=1`: a peer that acknowledges from the page cache
    syncs before it answers, as Headrace does without being asked.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topic = f"{TOPIC}-{time.time_ns()}"
    config = {"max.message.bytes": str(2 * MB)}
    if durability == "fsync":
        config["flush.messages"] = "1"
    admin.create_topics([NewTopic(topic, 1, 1, config=config)])[topic].result(30)
    try:
        _wait_until_led(bootstrap, topic)
        yield topic
    finally:
        admin.delete_topics([topic])[topic].result(30)


def _wait_until_led(bootstrap: str, topic: str) -> None:
    """A peer may answer that the topic is created just before its broker takes it over, and the
    raw driver does not retry."""
    deadline = time.monotonic() + LED_S_MAX
    while True:
        try:
            end_offset(bootstrap, topic)
        except KafkaException:
            if time.monotonic() > deadline:
                raise
        else:
            return


def end_offset(bootstrap: str, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench"})
    try:
        _, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)
    finally:
        consumer.close()
    return int(high)


def percentile_ms(latencies_s: list[float], share: float) -> float:
    ordered = sorted(latencies_s)
    return 1000 * ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def measured(settings: Settings, durability: str, run: Callable[[str, Serving | None], Row]) -> Row:
    """`run` against ours, and against the peer where there is one."""
    with serving(settings.directory, durability) as ours:
        row = run(ours.bootstrap, ours)
    if settings.peer is not None:
        row.beside(settings.peer_name, run(settings.peer, None).value)
    return row


def produce_run(
    settings: Settings,
    bootstrap: str,
    durability: str,
    size_bytes: int,
    record_bytes: int,
    window: int,
) -> Produced:
    """One round: a new topic, as much as time and volume allow, and a look at what is in it."""
    batch, records = batch_of(size_bytes, record_bytes)
    with fresh_topic(bootstrap, durability) as topic:
        connection = Connection(bootstrap)
        touch_memory(settings.directory, settings.bytes_max)
        made = produce(
            connection,
            topic,
            batch,
            acks=ACKS_ALL,
            window=window,
            seconds=settings.seconds,
            bytes_max=settings.bytes_max,
        )
        connection.close()
        in_log = end_offset(bootstrap, topic)
        if in_log != made.requests * records:
            raise RuntimeError(f"{made.requests * records} records acked, {in_log} in the log")
    return made


def plain_run(settings: Settings, size_bytes: int, *, sync: bool) -> Produced:
    batch, _ = batch_of(size_bytes, min(size_bytes, KB))
    touch_memory(settings.directory, settings.bytes_max)
    return plain_loop(
        settings.directory,
        batch,
        sync=sync,
        seconds=settings.seconds,
        bytes_max=settings.bytes_max,
    )


def bytes_per_s(made: Produced) -> float:
    return made.size_bytes / made.elapsed_s


def median_of(rounds: int, run: Callable[[], float]) -> float:
    return statistics.median(run() for _ in range(rounds))


def large_batches(settings: Settings) -> Iterator[Row]:
    def run(bootstrap: str, ours: Serving | None) -> Row:
        before = ours.cpu_s() if ours else 0.0
        made = [produce_run(settings, bootstrap, "os", MB, KB, 8) for _ in range(settings.rounds)]
        row = Row(
            "produce, 1 MB batches",
            "os",
            statistics.median(map(bytes_per_s, made)) / 1e9,
            "GB/s",
            aim=">= 2.5 GB/s",
        )
        if ours:
            written = sum(one.size_bytes for one in made)
            row.detail["broker cpu s/GB"] = (ours.cpu_s() - before) / written * 1e9
            plain = median_of(
                settings.rounds, lambda: bytes_per_s(plain_run(settings, MB, sync=False))
            )
            row.detail["plain write loop GB/s"] = plain / 1e9
        return row

    yield measured(settings, "os", run)


def small_batches(settings: Settings) -> Iterator[Row]:
    def run(bootstrap: str, _: Serving | None) -> Row:
        made = [produce_run(settings, bootstrap, "os", KB, 100, 64) for _ in range(settings.rounds)]
        rate = statistics.median(one.requests / one.elapsed_s for one in made)
        return Row("produce, 1 KB batches", "os", rate, "requests/s", aim=">= 40,000/s")

    yield measured(settings, "os", run)


def fetch_all(settings: Settings) -> Iterator[Row]:
    def run(bootstrap: str, _: Serving | None) -> Row:
        batch, records = batch_of(MB, KB)
        with fresh_topic(bootstrap, "os") as topic:
            connection = Connection(bootstrap)
            made = produce(
                connection,
                topic,
                batch,
                acks=ACKS_ALL,
                window=8,
                seconds=60,
                bytes_max=settings.bytes_max,
            )
            rates = [
                bytes_per_s(
                    fetch_through(
                        connection,
                        topic,
                        batch_bytes=len(batch),
                        batch_records=records,
                        end=made.requests * records,
                        size_bytes_max=4 * len(batch),
                    )
                )
                for _ in range(settings.rounds)
            ]
            connection.close()
        rate = statistics.median(rates) / 1e9
        row = Row("fetch, 1 MB batches", "os", rate, "GB/s", aim=">= 2.5 GB/s")
        row.detail["GB read each round"] = made.size_bytes / 1e9
        return row

    yield measured(settings, "os", run)


def synced_batches(settings: Settings) -> Iterator[Row]:
    """Durable throughput beside a plain write-and-fdatasync loop, the two in turn."""
    for size, name, window in ((KB, "1 KB", 64), (64 * KB, "64 KB", 16), (MB, "1 MB", 8)):

        def run(bootstrap: str, size: int = size, window: int = window) -> float:
            made = produce_run(settings, bootstrap, "fsync", size, min(size, KB), window)
            return bytes_per_s(made)

        ours: list[float] = []
        plain: list[float] = []
        with serving(settings.directory, "fsync") as broker:
            for _ in range(settings.rounds):
                ours.append(run(broker.bootstrap))
                plain.append(bytes_per_s(plain_run(settings, size, sync=True)))
            one = _one_by_one(settings, broker.bootstrap, "fsync", size)
        row = Row(
            f"produce, {name} batches, {window} under way",
            "fsync",
            statistics.median(ours) / 1e6,
            "MB/s",
            aim=">= 0.9 of plain loop",
        )
        row.detail["one at a time MB/s"] = bytes_per_s(one) / 1e6
        row.beside("write+fdatasync loop", statistics.median(plain) / 1e6)
        row.ratio = statistics.median(a / b for a, b in zip(ours, plain, strict=True))
        if settings.peer is not None:
            rates = [run(settings.peer) for _ in range(settings.rounds)]
            rate = statistics.median(rates) / 1e6
            row.detail[f"{settings.peer_name} MB/s"] = rate
        yield row


def _one_by_one(settings: Settings, bootstrap: str, durability: str, size_bytes: int) -> Produced:
    batch, _ = batch_of(size_bytes, min(size_bytes, KB))
    with fresh_topic(bootstrap, durability) as topic:
        connection = Connection(bootstrap)
        made = produce_one_by_one(
            connection, topic, batch, acks=ACKS_ALL, seconds=min(settings.seconds, 3)
        )
        connection.close()
    return made


def ack_latency(settings: Settings) -> Iterator[Row]:
    for durability in ("fsync", "os"):

        def run(bootstrap: str, _: Serving | None, durability: str = durability) -> Row:
            made = _one_by_one(settings, bootstrap, durability, 200)
            row = Row(
                "ack of one small producer, p50",
                durability,
                percentile_ms(made.latencies_s, 0.5),
                "ms",
                aim="< 1 ms" if durability == "fsync" else "",
            )
            row.detail["p99 ms"] = percentile_ms(made.latencies_s, 0.99)
            row.detail["p99.9 ms"] = percentile_ms(made.latencies_s, 0.999)
            return row

        yield measured(settings, durability, run)


def librdkafka(settings: Settings) -> Iterator[Row]:
    """What a user of confluent-kafka sees: its default batching, 1 KB values, one Python client."""
    count = 200_000
    for durability in ("fsync", "os"):
        consumed: list[Row] = []

        def run(
            bootstrap: str,
            _: Serving | None,
            durability: str = durability,
            consumed: list[Row] = consumed,
        ) -> Row:
            produce_s: list[float] = []
            consume_s: list[float] = []
            for _round in range(settings.rounds):
                with fresh_topic(bootstrap, durability) as topic:
                    touch_memory(settings.directory, settings.bytes_max)
                    produce_s.append(_librdkafka_produce(bootstrap, topic, count))
                    consume_s.append(_librdkafka_consume(bootstrap, topic, count))
            rates = [count / statistics.median(times) for times in (produce_s, consume_s)]
            consumed.append(Row("librdkafka consume, 1 KB", durability, rates[1], "records/s"))
            return Row("librdkafka produce, 1 KB", durability, rates[0], "records/s")

        yield measured(settings, durability, run)
        row = consumed[0]
        yield row.beside(settings.peer_name, consumed[1].value) if len(consumed) > 1 else row


def _librdkafka_produce(bootstrap: str, topic: str, count: int) -> float:
    failed: list[Any] = []
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 5,
            "queue.buffering.max.messages": count,
            "queue.buffering.max.kbytes": 1 << 20,
        }
    )
    value = bytes(KB)
    started = time.perf_counter()
    for _ in range(count):
        producer.produce(topic, value, on_delivery=lambda e, m: e and failed.append(e))
        producer.poll(0)
    if producer.flush(60) or failed:
        raise RuntimeError(f"not everything was delivered: {failed[:1]}")
    return time.perf_counter() - started


def _librdkafka_consume(bootstrap: str, topic: str, count: int) -> float:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": topic,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    started = time.perf_counter()
    seen = 0
    while seen < count:
        messages = consumer.consume(10_000, 10)
        if not messages:
            raise RuntimeError(f"only {seen} of {count} records came")
        seen += len(messages)
    elapsed = time.perf_counter() - started
    consumer.close()
    return elapsed


def start_and_memory(settings: Settings) -> Iterator[Row]:
    ready: list[float] = []
    resident: list[float] = []
    for _ in range(5):
        with serving(settings.directory, "fsync") as ours:
            ready.append(ours.ready_s)
            time.sleep(0.5)
            resident.append(ours.resident_mb())
    row = Row("start to ready, median of 5", "fsync", 1000 * statistics.median(ready), "ms")
    row.aim = "< 400 ms"
    row.detail["slowest ms"] = 1000 * max(ready)
    yield row
    embedded: list[float] = []
    for _ in range(5):
        started = time.perf_counter()
        with running_broker():
            embedded.append(1000 * (time.perf_counter() - started))
    row = Row("test fixture to ready, median of 5", "os", statistics.median(embedded), "ms")
    row.aim = "< 100 ms"
    row.detail["slowest ms, with imports"] = max(embedded)
    yield row
    yield Row("idle resident memory", "fsync", statistics.median(resident), "MB", aim="< 60 MB")
    with serving(settings.directory, "fsync") as ours:
        before = ours.resident_mb()
        connections = [Connection(ours.bootstrap) for _ in range(1000)]
        time.sleep(1)
        row = Row(
            "1,000 idle connections", "fsync", ours.resident_mb() - before, "MB", aim="< 100 MB"
        )
        for connection in connections:
            connection.close()
    yield row


def transactions(settings: Settings) -> Iterator[Row]:
    """Next to plain produce in the same run, and the time of one small transaction."""
    plain: list[float] = []

    def in_rounds(bootstrap: str, *, transactional: bool) -> float:
        rates = []
        for _ in range(settings.rounds):
            with fresh_topic(bootstrap, "fsync") as topic:
                rates.append(records_per_s(bootstrap, topic, transactional=transactional))
        return statistics.median(rates)

    def throughput(bootstrap: str, _: Serving | None) -> Row:
        rate = in_rounds(bootstrap, transactional=True)
        plain.append(in_rounds(bootstrap, transactional=False))
        row = Row("librdkafka, transactions of 1,000 records, 1 KB", "fsync", rate, "records/s")
        row.detail["of plain produce"] = rate / plain[-1]
        return row

    def single(bootstrap: str, _: Serving | None) -> Row:
        with fresh_topic(bootstrap, "fsync") as topic:
            took_ms = commit_ms(bootstrap, topic, settings.seconds)
        return Row("librdkafka, a transaction of one record, p50", "fsync", took_ms, "ms")

    row = measured(settings, "fsync", throughput)
    if len(plain) > 1:
        row.detail[f"{settings.peer_name}, of plain produce"] = (row.other or 0) / plain[-1]
    yield row
    yield measured(settings, "fsync", single)


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


WORKLOADS: dict[str, Callable[[Settings], Iterator[Row]]] = {
    "large": large_batches,
    "small": small_batches,
    "fetch": fetch_all,
    "fsync": synced_batches,
    "ack": ack_latency,
    "librdkafka": librdkafka,
    "start": start_and_memory,
    "transactions": transactions,
    "groups": groups,
    "one-more": one_more,
    "compaction": compaction,
    "ingest": ingest_streams,
    "zerobus": zerobus_streams,
}
