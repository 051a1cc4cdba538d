"""Dead letters of share groups, written by a real broker into a real log."""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from headrace.broker import dead_letter_source, dead_letters
from headrace.broker.append import ACKS_ALL, append
from headrace.broker.broker import Broker, BrokerOptions
from headrace.broker.dead_letters import DeadLetterReason, Run
from headrace.groups.dead_letter import DeadLetterReason as Reason
from headrace.wire.compression import Codec
from headrace.wire.errors import RequestError
from headrace.wire.produce import PartitionBatch
from headrace.wire.records import Record, build_batch, read_records

ALLOWED = "errors.deadletterqueue.group.enable"
AUTO_CREATE = "errors.deadletterqueue.auto.create.topics.enable"
PREFIX = "errors.deadletterqueue.topic.name.prefix"
NAME = "errors.deadletterqueue.topic.name"
COPY = "errors.deadletterqueue.copy.record.enable"
HEADERS = ("topic", "partition", "offset", "group", "delivery.count", "message")
NOW_MS = 1_790_000_000_000


class Place:
    """A broker with the topic `orders` (4 partitions) and what its share group `g` may need."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.steady_ms = 0
        broker.now_ms = lambda: NOW_MS
        broker.dead_letters._steady_ms = lambda: self.steady_ms

    async def configure(self, **values: str) -> None:
        """As if set before the topic vanished: without the checks of an administrator's request."""
        texts = {NAME if name == "to" else COPY: value for name, value in values.items()}
        await self.broker.group_configs.alter("g", lambda old: {**old, **texts}, in_use=False)

    async def make(self, name: str = "dlq.orders", partitions: int = 1, **configs: str) -> None:
        overrides = {ALLOWED: "true", **{n.replace("_", "."): v for n, v in configs.items()}}
        await self.broker.topics.create(name, partitions, overrides)

    async def produce(
        self, records: Sequence[Record], codec: int = 0, partition: int = 0, topic: str = "orders"
    ) -> None:
        appended = asyncio.get_running_loop().create_future()
        batch = memoryview(bytearray(build_batch(records, codec=codec)))
        append(self.broker, PartitionBatch(topic, partition, batch), ACKS_ALL, appended.set_result)
        assert not isinstance(await appended, RequestError)

    async def send(
        self, *runs: Run, reason: DeadLetterReason = Reason.REJECTED, **where: Any
    ) -> None:
        topic, partition = where.get("topic", "orders"), where.get("partition", 0)
        await self.broker.dead_letters.send("g", topic, partition, runs, reason)

    async def letters(self, topic: str = "dlq.orders", partition: int = 0) -> list[Record]:
        return [record for batch in await self.batches(topic, partition) for record in batch]

    async def batches(self, topic: str = "dlq.orders", partition: int = 0) -> list[list[Record]]:
        log = self.broker.topics.partition(topic, partition).log
        found, offset = [], 0
        while offset < log.offsets().high_watermark:
            slice_ = await log.read(offset, 1, at_least_one=True)
            found.append(list(read_records(os.pread(slice_.file, *slice_[2:0:-1]))))
            slice_.release()
            offset = found[-1][-1].offset + 1
        return found

    @property
    def lost(self) -> dict[str, int]:
        """By cause."""
        return {cause: n for (_, cause), n in self.broker.dead_letters.counts.lost_of.items()}


def told(letter: Record) -> tuple[str, ...]:
    """What the broker's own headers say, which come last."""
    names = tuple(name.removeprefix("__dlq.errors.") for name, _ in letter.headers[-6:])
    assert names == HEADERS
    return tuple((value or b"").decode() for _, value in letter.headers[-6:])


def records(count: int, **rest: Any) -> list[Record]:
    return [Record(timestamp_ms=1, key=b"k%d" % i, value=b"v%d" % i, **rest) for i in range(count)]


@pytest.fixture
def at_place(tmp_path: Path) -> Callable[..., Any]:
    def run(body: Callable[[Place], Coroutine[Any, Any, Any]], **configs: str) -> Any:
        async def opened() -> Any:
            options = BrokerOptions(str(tmp_path / "data"), "os", broker_configs=configs)
            broker = await Broker.open(options)
            try:
                await broker.topics.create("orders", 4)
                return await body(Place(broker))
            finally:
                await broker.close()

        return asyncio.run(opened())

    return run


def test_a_letter_says_where_from_how_often_and_why(at_place) -> None:
    async def body(place: Place) -> None:
        await place.make()
        await place.configure(to="dlq.orders")
        await place.produce(records(5))
        await place.send((1, 2, 1), (4, 4, 3))
        await place.send((0, 0, 5), reason=Reason.DELIVERIES_USED_UP)
        letters = await place.letters()
        assert [told(letter) for letter in letters] == [
            ("orders", "0", "1", "g", "1", "rejected by a consumer"),
            ("orders", "0", "2", "g", "1", "rejected by a consumer"),
            ("orders", "0", "4", "g", "3", "rejected by a consumer"),
            ("orders", "0", "0", "g", "5", Reason.DELIVERIES_USED_UP.value),
        ]
        # Not copied, unless the group asks for it; and not as old as the record.
        assert {(letter.key, letter.value, len(letter.headers)) for letter in letters} == {
            (None, None, 6)
        }
        assert {letter.timestamp_ms for letter in letters} == {NOW_MS}
        assert place.broker.dead_letters.counts.written_of == {"g": 4}
        assert place.lost == {}

    at_place(body)


@pytest.mark.parametrize("codec", list(Codec), ids=lambda codec: codec.name.lower())
def test_a_copy_has_key_value_and_headers_of_the_record(at_place, codec: Codec) -> None:
    originals = [
        Record(timestamp_ms=1, key=b"a", value=b"one", headers=(("trace", b"7"), ("empty", None))),
        Record(timestamp_ms=2, key=None, value=b"no key"),
        Record(timestamp_ms=3, key=b"no value", value=None),
        Record(timestamp_ms=4, key=b"", value=b"", headers=(("__dlq.errors.group", b"older"),)),
    ]

    async def body(place: Place) -> None:
        await place.make()
        await place.configure(to="dlq.orders", copy="true")
        await place.produce(originals[:2], codec)
        await place.produce(originals[2:], codec)
        await place.send((0, 3, 2))
        letters = await place.letters()
        assert [letter[2:4] for letter in letters] == [record[2:4] for record in originals]
        assert [letter.headers[:-6] for letter in letters] == [
            record.headers for record in originals
        ]
        # The last of a name counts, also for who makes a dictionary of them.
        assert dict(letters[3].headers)["__dlq.errors.group"] == b"g"
        assert place.broker.dead_letters.counts.uncopied_of == {}

    at_place(body)


def test_letters_go_to_the_partition_of_their_source_modulo(at_place) -> None:
    async def body(place: Place) -> None:
        await place.make(partitions=3)
        await place.configure(to="dlq.orders", copy="true")
        for partition in range(4):
            await place.produce([Record(timestamp_ms=1, value=b"%d" % partition)], 0, partition)
            await place.send((0, 0, 1), partition=partition)
        found = [[r.value for r in await place.letters("dlq.orders", p)] for p in range(3)]
        assert found == [[b"0", b"3"], [b"1"], [b"2"]]

    at_place(body)


def test_many_letters_are_written_piece_by_piece(at_place) -> None:
    piece = dead_letters.RECORDS_PER_PIECE_MAX

    async def body(place: Place) -> None:
        await place.make()
        await place.configure(to="dlq.orders")
        await place.send((0, 2 * piece, 1))
        batches = await place.batches()
        assert [len(batch) for batch in batches] == [piece, piece, 1]
        assert [told(letter)[2] for batch in batches for letter in batch] == [
            str(offset) for offset in range(2 * piece + 1)
        ]

    at_place(body)


def test_a_batch_is_read_once_for_many_pieces(at_place, monkeypatch) -> None:
    reads = 0
    read = dead_letters.read_originals

    async def counted(*arguments: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read(*arguments)

    async def body(place: Place) -> None:
        monkeypatch.setattr(dead_letters, "read_originals", counted)
        await place.make()
        await place.configure(to="dlq.orders", copy="true")
        count = 3 * dead_letters.RECORDS_PER_PIECE_MAX
        await place.produce(records(count), Codec.LZ4)
        await place.send((0, count - 1, 1))
        assert [len(batch) for batch in await place.batches()] == [count // 3] * 3
        assert [letter.value for letter in await place.letters()] == [
            b"v%d" % n for n in range(count)
        ]
        assert reads == 1

    at_place(body)


def test_copies_are_read_and_written_in_bounded_pieces(at_place, monkeypatch) -> None:
    monkeypatch.setattr(dead_letter_source, "READ_BYTES_MAX", 4_000)

    async def body(place: Place) -> None:
        await place.make(max_message_bytes="3000")
        await place.configure(to="dlq.orders", copy="true")
        for start in range(0, 20, 5):  # each batch larger than one read
            await place.produce(
                [Record(timestamp_ms=1, value=bytes([n]) * 1000) for n in range(start, start + 5)]
            )
        await place.send((0, 19, 1))
        batches = await place.batches()
        assert [r.value for batch in batches for r in batch] == [
            bytes([n]) * 1000 for n in range(20)
        ]
        assert {len(batch) for batch in batches} == {1, 2}
        assert place.lost == {}

    at_place(body)


def test_a_record_too_large_for_the_topic_leaves_a_letter_without_it(at_place, caplog) -> None:
    async def body(place: Place) -> None:
        await place.make(max_message_bytes="5000")
        await place.configure(to="dlq.orders", copy="true")
        await place.produce(
            [Record(timestamp_ms=1, key=b"k", value=bytes(size)) for size in (10, 4_900, 10)]
        )
        await place.send((0, 2, 1))
        letters = await place.letters()
        assert [letter.value for letter in letters] == [bytes(10), None, bytes(10)]
        assert told(letters[1])[2] == "1"
        assert place.broker.dead_letters.counts.uncopied_of == {"g": 1}

    at_place(body)
    assert "too large" in caplog.text


def test_a_record_that_is_gone_leaves_a_letter_without_it(at_place) -> None:
    async def body(place: Place) -> None:
        await place.make()
        await place.configure(to="dlq.orders", copy="true")
        for record in records(6):
            await place.produce([record])
        await place.broker.topics.partition("orders", 0).log.delete_before(3)
        await place.send((1, 4, 1))
        await place.send((5, 5, 1), topic="deleted")
        letters = await place.letters()
        assert [letter.value for letter in letters] == [None, None, b"v3", b"v4", None]
        assert [told(letter)[:3:2] for letter in letters] == [
            *(("orders", str(offset)) for offset in range(1, 5)),
            ("deleted", "5"),
        ]
        assert place.broker.dead_letters.counts.uncopied_of == {"g": 3}

    at_place(body)


@pytest.mark.parametrize("harm", ["flipped", "unfolds"])
def test_what_cannot_be_opened_is_not_copied(at_place, monkeypatch, harm: str) -> None:
    async def body(place: Place) -> None:
        await place.make()
        await place.configure(to="dlq.orders", copy="true")
        log = place.broker.topics.partition("orders", 0).log
        codec = Codec.NONE if harm == "flipped" else Codec.ZSTD
        await place.produce([Record(timestamp_ms=1, value=bytes(100_000))], codec)
        await place.produce(records(1))
        if harm == "flipped":
            found = await log.read(0, 1, at_least_one=True)
            os.pwrite(found.file, b"\xff", found.position + found.size_bytes - 1000)
            found.release()
        else:
            monkeypatch.setattr(dead_letter_source, "UNPACKED_BYTES_MAX", 50_000)
        await place.send((0, 1, 1))
        assert [letter.value for letter in await place.letters()] == [None, b"v0"]

    at_place(body)


def test_a_group_without_a_topic_sends_nothing(at_place) -> None:
    async def body(place: Place) -> None:
        assert not place.broker.dead_letters.wanted_by("g")
        await place.send((0, 5, 1))
        assert place.lost == {}
        await place.configure(to="dlq.orders")
        assert place.broker.dead_letters.wanted_by("g")

    at_place(body)


def test_the_topic_is_created_where_that_is_allowed(at_place) -> None:
    async def body(place: Place) -> None:
        await place.configure(to="dlq.orders")
        await asyncio.gather(*(place.send((n, n, 1)) for n in range(10)))
        topic = place.broker.topics.get("dlq.orders")
        assert topic.config.overrides == {ALLOWED: "true"}
        assert len(topic.partitions) == 2
        assert sorted(told(letter)[2] for letter in await place.letters()) == list("0123456789")
        assert place.lost == {}

    at_place(body, **{AUTO_CREATE: "true", "num.partitions": "2"})


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("dlq.missing", "no_topic"),
        ("dlq.closed", "not_enabled"),
        ("elsewhere", "name"),
        ("__dlq", "name"),
        ("dlq./", "name"),
        ("dlq.source", "source"),
        ("dlq.small", "too_large"),
    ],
)
def test_a_letter_that_has_no_place_is_lost_and_told(at_place, caplog, name, cause) -> None:
    async def body(place: Place) -> None:
        await place.make("dlq.closed", **{ALLOWED: "false"})
        await place.make("dlq.source")
        await place.make("dlq.small", max_message_bytes="100")
        await place.make("elsewhere")
        await place.configure(to=name)
        for _ in range(3):
            await place.send((0, 1, 1), topic="dlq.source")
        assert place.lost == {cause: 6}
        assert place.broker.dead_letters.counts.written_of == {}

    at_place(body)
    told_lines = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(told_lines) == 1
    assert "'g': 2 records of dlq.source-0 were given up" in told_lines[0].getMessage()


def test_what_is_lost_is_told_again_after_a_while(at_place, caplog) -> None:
    async def body(place: Place) -> None:
        await place.configure(to="dlq.missing")
        for steady_ms in (0, 1000, dead_letters.COMPLAINT_INTERVAL_MS):
            place.steady_ms = steady_ms
            await place.send((0, 0, 1))

    at_place(body)
    assert len([r for r in caplog.records if "given up" in r.getMessage()]) == 2


def test_a_failing_disk_or_a_mistake_of_ours_does_not_stop_the_group(at_place, monkeypatch) -> None:
    async def body(place: Place) -> None:
        await place.make()
        await place.configure(to="dlq.orders")
        await place.broker.topics.partition("dlq.orders", 0).log.close()
        await place.send((0, 0, 1))
        monkeypatch.setattr(dead_letters, "pack", lambda *_, **__: 1 / 0)
        await place.send((1, 1, 1))
        assert place.lost == {"storage": 1, "error": 1}

    at_place(body)


def test_a_cancelled_sending_counts_nothing_as_lost(at_place) -> None:
    async def body(place: Place) -> None:
        await place.make()
        await place.configure(to="dlq.orders", copy="true")
        await place.produce(records(1))
        sending = asyncio.create_task(place.send((0, 0, 1)))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await place.send((0, 0, 1))
        assert [letter.value for letter in await place.letters()] == [b"v0"]
        assert place.lost == {}

    at_place(body)


def test_few_sendings_hold_records_at_one_time(at_place, monkeypatch) -> None:
    now = most = 0

    async def body(place: Place) -> None:
        await place.make()
        await place.configure(to="dlq.orders", copy="true")
        await place.produce(records(50))
        write = place.broker.dead_letters._write

        async def counted(*arguments: Any) -> None:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await write(*arguments)
            now -= 1

        monkeypatch.setattr(place.broker.dead_letters, "_write", counted)
        await asyncio.gather(*(place.send((n, n, 1)) for n in range(50)))
        assert most == dead_letters.SENDINGS_MAX
        assert len(await place.letters()) == 50

    at_place(body)


def test_counts_stay_bounded_with_many_groups(monkeypatch) -> None:
    from headrace.broker import dead_letter_counts

    monkeypatch.setattr(dead_letter_counts, "GROUPS_COUNTED_MAX", 2)
    counts = dead_letter_counts.DeadLetterCounts()
    for group in "abcda":
        counts.written(group, 1)
        counts.lost(group, "no_topic", 1)
    assert counts.written_of == {"a": 2, "b": 1, "": 2}
    assert counts.lost_of == {("a", "no_topic"): 2, ("b", "no_topic"): 1, ("", "no_topic"): 2}
