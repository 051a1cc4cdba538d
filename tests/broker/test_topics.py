import asyncio
import contextlib
import logging
from collections.abc import Iterator
from unittest import mock

import pytest

from headrace.broker import topics as topics_module
from headrace.broker.topic_logs import OPENING_LOGS_MAX
from headrace.broker.topics import Topics
from headrace.wire.errors import ErrorCode, RequestError


@contextlib.contextmanager
def refused(code: ErrorCode, match: str | None = None) -> Iterator[None]:
    with pytest.raises(RequestError, match=match) as caught:
        yield
    assert caught.value.code == code


def _catalog_fails(world, method: str):
    error = RequestError(ErrorCode.KAFKA_STORAGE_ERROR, "the catalog's disk is full")
    return mock.patch.object(world.catalog.topics, method, side_effect=error)


def _shape(topics: Topics) -> dict:
    return {
        t.name: (t.id, len(t.partitions), dict(t.config.overrides)) for t in topics.by_id.values()
    }


def test_topics_come_back_after_a_restart_as_they_were(with_topics):
    async def first(world):
        await world.topics.create("plain", 1)
        await world.topics.create("rich", 3, {"retention.ms": "5", "headrace.retain": "true"})
        await world.topics.add_partitions("plain", 4)
        await world.topics.alter_configs("rich", lambda c: c | {"segment.ms": "9"})
        return _shape(world.topics)

    async def second(world):
        log = world.topics.partition("rich", 2).log.config
        assert (log.retention_ms, log.segment_age_ms, log.retain) == (5, 9, True)
        return _shape(world.topics)

    before = with_topics(first)
    assert with_topics(second) == before
    assert before["plain"][1] == 4


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a b", "ü", "a/b", "x" * 250, "a\n", "nul\0", "a:b"]
)
def test_a_bad_name_is_refused(with_topics, store, name):
    async def body(world):
        with refused(ErrorCode.INVALID_TOPIC_EXCEPTION):
            await world.topics.create(name, 1)

    with_topics(body)
    assert store.disk == {}


@pytest.mark.parametrize("name", ["a", "...", "A.b_c-9", "x" * 249, "__consumer_offsets"])
def test_kafkas_names_are_accepted(with_topics, name):
    assert with_topics(lambda world: world.topics.create(name, 1)).name == name


@pytest.mark.parametrize("count", [0, -1, -2, 10_001, 2**31 - 1])
def test_a_bad_partition_count_is_refused(with_topics, count):
    async def body(world):
        with refused(ErrorCode.INVALID_PARTITIONS):
            await world.topics.create("t", count)

    with_topics(body)


def test_the_broker_takes_a_bounded_number_of_partitions(with_topics, monkeypatch):
    monkeypatch.setattr(topics_module, "PARTITIONS_MAX", 5)

    async def body(world):
        await world.topics.create("a", 3)
        with refused(ErrorCode.POLICY_VIOLATION):
            await world.topics.create("b", 3)
        with refused(ErrorCode.POLICY_VIOLATION):
            await world.topics.add_partitions("a", 6)
        await world.topics.create("b", 2)
        await world.topics.delete("a")
        await world.topics.create("c", 3)

    with_topics(body)


def test_of_concurrent_creates_of_one_name_one_wins(with_topics, store):
    async def body(world):
        creates = [world.topics.create("t", count) for count in range(1, 9)]
        results = await asyncio.gather(*creates, return_exceptions=True)
        (winner,) = (result for result in results if not isinstance(result, Exception))
        assert world.topics.get("t") is winner
        codes = {result.code for result in results if isinstance(result, RequestError)}
        assert codes == {ErrorCode.TOPIC_ALREADY_EXISTS}
        assert set(store.disk) == {winner.id}

    with_topics(body)


def test_concurrent_ensures_of_one_name_get_the_same_topic(with_topics):
    async def body(world):
        topics = await asyncio.gather(*(world.topics.ensure("t") for _ in range(8)))
        assert len({topic.id for topic in topics}) == 1
        assert len(topics[0].partitions) == 6

    with_topics(body, broker={"num.partitions": "6"})


def test_a_topic_made_anew_has_another_id(with_topics):
    async def body(world):
        first = await world.topics.create("t", 1)
        await world.topics.delete("t")
        second = await world.topics.create("t", 1)
        assert first.id != second.id
        with refused(ErrorCode.UNKNOWN_TOPIC_ID):
            world.topics.get_by_id(first.id)
        with refused(ErrorCode.UNKNOWN_TOPIC_ID):
            await world.topics.delete("t", first.id)
        assert world.topics.get_by_id(second.id) is second

    with_topics(body)


def test_deleting_takes_files_and_committed_offsets_and_tells_watchers(with_topics, store):
    async def body(world):
        told = []
        world.topics.when_deleted(lambda topic: told.append(topic.name))
        await world.topics.create("t", 2)
        await world.catalog.offsets.commit("g", [("t", 0, 5, -1, ""), ("u", 0, 5, -1, "")], 1)
        await asyncio.gather(world.topics.delete("t"))
        assert told == ["t"]
        assert store.disk == {}
        assert [row.topic for row in await world.catalog.offsets.load_all()] == ["u"]
        with refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION):
            await world.topics.delete("t")

    with_topics(body)


def test_a_delete_that_the_catalog_refuses_leaves_the_topic(with_topics, store):
    async def body(world):
        topic = await world.topics.create("t", 2)
        with _catalog_fails(world, "delete"), refused(ErrorCode.KAFKA_STORAGE_ERROR):
            await world.topics.delete("t")
        assert world.topics.get("t") is world.topics.get_by_id(topic.id) is topic
        assert store.disk == {topic.id: {0, 1}}

    with_topics(body)


def test_a_create_that_the_catalog_refuses_leaves_nothing(with_topics, store):
    async def body(world):
        with _catalog_fails(world, "insert"), refused(ErrorCode.KAFKA_STORAGE_ERROR):
            await world.topics.create("t", 2)
        assert store.disk == {}
        assert world.topics.by_name == {}
        await world.topics.create("t", 2)

    with_topics(body)


def test_a_create_whose_row_is_in_doubt_leaves_its_files_to_the_next_start(with_topics):
    async def body(world) -> None:
        insert, writer = world.topics._rows.insert, world.topics._rows._writer

        async def insert_in_doubt(row) -> None:
            await insert(row)
            writer._failed = "an fsync failed"
            raise RequestError(ErrorCode.KAFKA_STORAGE_ERROR, writer._failed)

        world.topics._rows.insert = insert_in_doubt
        with refused(ErrorCode.KAFKA_STORAGE_ERROR):
            await world.topics.create("t", 2)

    async def again(world) -> None:
        assert [one.log is not None for one in world.topics.get("t").partitions] == [True, True]
        assert all(
            one.log.offsets().high_watermark == 0 for one in world.topics.get("t").partitions
        )

    with_topics(body)
    with_topics(again)


def test_a_create_without_room_for_its_logs_leaves_nothing(with_topics, store):
    async def body(world):
        store.open_fails_at = 3
        with refused(ErrorCode.KAFKA_STORAGE_ERROR, "No space left"):
            await world.topics.create("t", 5)
        assert store.disk == {}
        assert not any(log.is_open for log in store.logs)
        assert await world.catalog.topics.load_all() == []
        store.open_fails_at = None
        await world.topics.create("t", 5)

    with_topics(body)


def test_partitions_are_only_added(with_topics):
    async def body(world):
        topic = await world.topics.create("t", 3)
        generation = world.topics.generation
        for total in (3, 2, 0, -1, 10_001):
            with refused(ErrorCode.INVALID_PARTITIONS):
                await world.topics.add_partitions("t", total)
        with refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION):
            await world.topics.add_partitions("u", 3)
        assert world.topics.generation == generation
        old = topic.partitions[:]
        await world.topics.add_partitions("t", 5)
        assert topic.partitions[:3] == old
        assert [partition.index for partition in topic.partitions] == [0, 1, 2, 3, 4]
        assert world.topics.generation > generation

    with_topics(body)


def test_partitions_that_the_catalog_refuses_are_not_there(with_topics, store):
    async def body(world):
        topic = await world.topics.create("t", 1)
        with _catalog_fails(world, "set_partition_count"), refused(ErrorCode.KAFKA_STORAGE_ERROR):
            await world.topics.add_partitions("t", 3)
        assert len(topic.partitions) == 1
        assert [log.is_open for log in store.logs] == [True, False, False]
        await world.topics.add_partitions("t", 3)

    with_topics(body)


def test_partition_finds_what_exists_and_names_what_does_not(with_topics):
    async def body(world):
        topic = await world.topics.create("t", 2)
        assert world.topics.partition("t", 1) is topic.partitions[1]
        for name, index in (("t", 2), ("t", -1), ("u", 0)):
            with refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, name):
                world.topics.partition(name, index)

    with_topics(body)


def test_orphans_of_a_crash_are_removed_at_the_start(with_topics, store):
    async def crash_before_the_row(world):
        with (
            mock.patch.object(world.catalog.topics, "insert", side_effect=KeyError),
            mock.patch.object(store, "delete_topic"),
            pytest.raises(KeyError),
        ):
            await world.topics.create("orphan", 2)
        await world.topics.create("kept", 1)
        assert len(store.disk) == 2

    async def body(world):
        assert set(store.disk) == {world.topics.get("kept").id}

    with_topics(crash_before_the_row)
    with_topics(body)


def test_a_corrupt_partition_is_offline_and_the_rest_works(with_topics, store, caplog):
    async def damage(world):
        topic = await world.topics.create("t", 3)
        await world.topics.create("u", 1)
        store.corrupt.add((topic.id, 1))

    async def body(world):
        partitions = world.topics.get("t").partitions
        assert [partition.is_offline for partition in partitions] == [False, True, False]
        assert not world.topics.partition("u", 0).is_offline
        with refused(ErrorCode.KAFKA_STORAGE_ERROR, "checksum"):
            partitions[1].log.offsets()
        await world.topics.alter_configs("t", lambda c: c | {"retention.ms": "5"})
        await world.topics.delete("t")

    with_topics(damage)
    with caplog.at_level(logging.ERROR):
        with_topics(body)
    assert "t-1 is offline" in caplog.text


def test_a_topic_whose_files_are_missing_is_offline_not_empty(with_topics, store, caplog):
    with_topics(lambda world: world.topics.create("t", 2))
    store.disk.clear()

    async def body(world):
        assert all(partition.is_offline for partition in world.topics.get("t").partitions)
        assert store.disk == {}

    with_topics(body)
    assert "missing" in caplog.text


def test_a_partition_whose_directory_is_missing_is_offline_not_empty(with_topics, store):
    topic = with_topics(lambda world: world.topics.create("t", 2))
    store.disk[topic.id].remove(1)

    async def body(world):
        states = [partition.is_offline for partition in world.topics.get("t").partitions]
        assert states == [False, True]

    with_topics(body)


def test_directories_are_durable_before_the_row(with_topics, store):
    async def body(world):
        def insert(row):
            assert store.synced == [row.id]
            raise RequestError(ErrorCode.KAFKA_STORAGE_ERROR, "enough seen")

        with (
            mock.patch.object(world.catalog.topics, "insert", insert),
            refused(ErrorCode.KAFKA_STORAGE_ERROR, "enough seen"),
        ):
            await world.topics.create("t", 3)

    with_topics(body)


def test_a_topic_whose_configuration_is_not_understood_is_offline(with_topics):
    async def meddle(world):
        topic = await world.topics.create("t", 1)
        meddled = {"retention.ms": "a while", "segment.ms": "5"}
        await world.catalog.topics.replace_configs(topic.id, meddled, before={})

    async def body(world):
        with refused(ErrorCode.KAFKA_STORAGE_ERROR, "a while"):
            world.topics.partition("t", 0).log.offsets()
        await world.configs.alter(lambda c: {"log.retention.ms": "7"})
        await world.topics.alter_configs("t", lambda c: c | {"retention.ms": "6"})

    async def mended(world):
        topic = world.topics.get("t")
        assert topic.config.overrides == {"retention.ms": "6", "segment.ms": "5"}
        assert not topic.partitions[0].is_offline

    with_topics(meddle)
    with_topics(body)
    with_topics(mended)


def test_logs_are_opened_concurrently_with_a_bound(with_topics, store):
    async def body(world):
        await asyncio.gather(*(world.topics.create(f"t{i}", 10) for i in range(10)))

    with_topics(body)
    assert store.opening_most == OPENING_LOGS_MAX
    store.opening_most = 0
    with_topics(lambda world: asyncio.sleep(0))
    assert store.opening_most == OPENING_LOGS_MAX


def test_configurations_reach_the_logs_in_use(with_topics):
    async def body(world):
        topic = await world.topics.create("t", 2)
        await world.topics.alter_configs("t", lambda c: {"retention.ms": "77"})
        assert {p.log.config.retention_ms for p in topic.partitions} == {77}
        with refused(ErrorCode.INVALID_CONFIG, "did you mean retention.ms"):
            await world.topics.alter_configs("t", lambda c: {"retention.mss": "78"})
        assert topic.config.overrides == {"retention.ms": "77"}

    with_topics(body)


def test_defaults_that_change_while_logs_are_made_are_used(with_topics, store):
    async def body(world):
        topic = await world.topics.create("grown", 1)
        store.gate = asyncio.Event()
        creating = asyncio.ensure_future(world.topics.create("made", 1))
        growing = asyncio.ensure_future(world.topics.add_partitions("grown", 2))
        await asyncio.sleep(0)
        await world.configs.alter(lambda c: {"log.retention.ms": "7"})
        store.gate.set()
        made = await creating
        await growing
        for partition in (*made.partitions, *topic.partitions):
            assert partition.log.config.retention_ms == 7

    with_topics(body)


def test_concurrent_config_changes_of_one_topic_all_happen(with_topics):
    async def body(world):
        topic = await world.topics.create("t", 1)
        names = ("retention.ms", "segment.ms", "retention.bytes", "max.message.bytes")
        await asyncio.gather(
            *(world.topics.alter_configs("t", lambda c, n=n: c | {n: "5"}) for n in names)
        )
        assert topic.config.overrides == dict.fromkeys(names, "5")

    with_topics(body)


def test_changed_broker_defaults_reach_topics_without_overrides(with_topics):
    async def body(world):
        own = await world.topics.create("own", 1, {"retention.ms": "5"})
        other = await world.topics.create("other", 1)
        await world.configs.alter(lambda c: {"log.retention.ms": "7", "message.max.bytes": "99"})
        assert own.partitions[0].log.config.retention_ms == 5
        assert other.partitions[0].log.config.retention_ms == 7
        assert own.config.max_message_bytes == other.config.max_message_bytes == 99

    with_topics(body)


def test_a_change_goes_on_when_its_caller_is_gone(with_topics, store, until):
    async def body(world):
        store.gate = asyncio.Event()
        creating = asyncio.ensure_future(world.topics.create("t", 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
        store.gate.set()
        await world.topics.close()
        assert world.topics.get("t").partitions

    with_topics(body)


def test_names_are_locked_one_by_one(with_topics, store):
    async def body(world):
        await world.topics.create("other", 1)
        store.gate = asyncio.Event()
        creating = asyncio.ensure_future(world.topics.create("slow", 1))
        await world.topics.alter_configs("other", lambda c: {"segment.ms": "5"})
        assert not creating.done()
        store.gate.set()
        await creating
        assert world.topics._names._locks == {}

    with_topics(body)
