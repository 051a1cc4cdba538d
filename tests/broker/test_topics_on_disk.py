"""The topics service on the real store of logs: what a start makes of what a crash left."""

import asyncio
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from headrace.broker.broker import Broker, BrokerOptions, OpenError
from headrace.log.contract import ACKS_ALL
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.records import Record, build_batch


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def with_broker(data: Path):
    """Run `body(broker)` on this test's data directory; each call opens it anew."""

    def run(body):
        async def opened():
            broker = await Broker.open(BrokerOptions(str(data), "os"))
            try:
                return await body(broker)
            finally:
                await broker.close()

        return asyncio.run(opened())

    return run


async def _append(partition, value: bytes) -> None:
    done = asyncio.get_running_loop().create_future()
    batch = bytearray(build_batch([Record(timestamp_ms=1, value=value)]))
    partition.log.append(memoryview(batch), ACKS_ALL, done.set_result)
    await done


async def _make(broker) -> str:
    topic = await broker.topics.create("t", 3, {"segment.bytes": "1024"})
    for partition in topic.partitions:
        for number in range(40):
            await _append(partition, b"%03d" % number * 20)
    return topic.id.hex


def _ends(broker) -> list[int | None]:
    ends: list[int | None] = []
    for partition in broker.topics.get("t").partitions:
        if partition.is_offline:
            with pytest.raises(RequestError) as caught:
                partition.log.offsets()
            assert caught.value.code == ErrorCode.KAFKA_STORAGE_ERROR
            ends.append(None)
        else:
            ends.append(partition.log.offsets().end)
    return ends


async def _ends_async(broker) -> list[int | None]:
    return _ends(broker)


def test_logs_come_back_with_their_records(with_broker):
    with_broker(_make)
    assert with_broker(_ends_async) == [40, 40, 40]


def test_a_missing_partition_is_offline_not_begun_anew(with_broker, data):
    topic_id = with_broker(_make)
    shutil.rmtree(data / "topics" / topic_id / "1")
    assert with_broker(_ends_async) == [40, None, 40]
    assert not (data / "topics" / topic_id / "1").exists()


def test_damage_takes_one_partition_offline(with_broker, data):
    topic_id = with_broker(_make)
    os.remove(data / "headrace.clean")
    segments = sorted((data / "topics" / topic_id / "2").glob("*.log"))
    assert len(segments) > 2
    segments[1].unlink()
    assert with_broker(_ends_async) == [40, 40, None]


def test_an_offline_partition_is_deleted_with_its_topic(with_broker, data):
    topic_id = with_broker(_make)
    shutil.rmtree(data / "topics" / topic_id / "0")

    async def body(broker):
        await broker.topics.delete("t")
        again = await broker.topics.create("t", 1)
        await _append(again.partitions[0], b"v")

    with_broker(body)
    assert topic_id not in os.listdir(data / "topics")


def test_what_a_crash_left_of_a_topic_is_removed(with_broker, data):
    with_broker(_make)
    orphan, doomed = data / "topics" / ("ab" * 16), data / "topics" / ("cd" * 16 + ".deleted")
    (orphan / "0").mkdir(parents=True)
    (doomed / "0").mkdir(parents=True)
    assert with_broker(_ends_async) == [40, 40, 40]
    assert len(os.listdir(data / "topics")) == 1


def segments_of(data: Path, topic_id: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((data / "topics" / topic_id).rglob("*.log"))]


def edit_catalog(data: Path, *statements: str) -> None:
    db = sqlite3.connect(data / "catalog.db")
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()
    (data / "catalog.db-seal").unlink()


def test_records_that_the_catalog_does_not_know_are_left_alone(with_broker, data, caplog):
    topic_id = with_broker(_make)

    def rename(id_: str) -> None:
        """As a flipped bit would."""
        edit_catalog(
            data,
            f"UPDATE topics SET id = '{id_}' WHERE name = 't'",  # noqa: S608
            f"UPDATE topic_configs SET topic_id = '{id_}'",  # noqa: S608
        )

    async def keep_another(broker):
        await broker.topics.create("other", 1)

    with_broker(keep_another)
    rename("f" * 32)
    before = segments_of(data, topic_id)
    for _ in range(2):
        assert with_broker(_ends_async) == [None, None, None]
        assert segments_of(data, topic_id) == before
    assert f"records of topic id {topic_id}, which the catalog does not know" in caplog.text
    rename(topic_id)
    assert with_broker(_ends_async) == [40, 40, 40]


@pytest.mark.parametrize("how", ["missing", "empty", "of another house"])
def test_without_the_catalog_no_record_is_removed_and_no_broker_starts(
    how, with_broker, data, tmp_path
):
    topic_id = with_broker(_make)
    whole, path = (data / "catalog.db").read_bytes(), data / "catalog.db"
    (data / "catalog.db-seal").unlink()
    path.unlink()
    if how == "empty":
        path.touch()
    elif how == "of another house":
        asyncio.run(_opened_and_closed(tmp_path / "other"))
        shutil.copy(tmp_path / "other" / "catalog.db", path)
    before = segments_of(data, topic_id)
    for _ in range(2):
        with pytest.raises(OpenError, match=r"catalog"):
            with_broker(_ends_async)
        assert segments_of(data, topic_id) == before
    path.write_bytes(whole)
    (data / "catalog.db-seal").unlink(missing_ok=True)
    assert with_broker(_ends_async) == [40, 40, 40]


async def _opened_and_closed(directory: Path) -> None:
    broker = await Broker.open(BrokerOptions(str(directory), "os"))
    await broker.close()


def test_a_deletion_that_a_crash_interrupted_is_finished(with_broker, data, tmp_path):
    topic_id = with_broker(_make)
    shutil.copytree(data / "topics", tmp_path / "topics")

    async def delete(broker):
        await broker.topics.create("other", 1)
        await broker.topics.delete("t")
        assert await broker.catalog.topics.deleted() == set()

    with_broker(delete)
    shutil.copytree(tmp_path / "topics", data / "topics", dirs_exist_ok=True)
    edit_catalog(data, f"INSERT INTO deleted_topics VALUES ('{topic_id}')")  # noqa: S608

    async def look(broker):
        assert await broker.catalog.topics.deleted() == set()

    with_broker(look)
    assert topic_id not in os.listdir(data / "topics")


def test_partitions_left_by_a_crashed_growth_are_used_again(with_broker, data):
    topic_id = with_broker(_make)
    (data / "topics" / topic_id / "3").mkdir()

    async def body(broker):
        await broker.topics.add_partitions("t", 5)
        return _ends(broker)

    assert with_broker(body) == [40, 40, 40, 0, 0]


def test_deleting_while_writing_refuses_the_writer_and_nobody_else(with_broker):
    async def body(broker):
        doomed = await broker.topics.create("doomed", 1)
        kept = await broker.topics.create("kept", 1)
        await _append(doomed.partitions[0], b"v")
        await broker.topics.delete("doomed")
        with pytest.raises(RequestError):
            await _append(doomed.partitions[0], b"v")
        await _append(kept.partitions[0], b"v")

    with_broker(body)
