"""A full disk refuses what it cannot keep, keeps what it has, and goes on when there is space."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.housekeeping import tidy_all
from headrace.testing import running_broker
from headrace.testing.raw_client import RawClient, batch
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k03_metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
)
from headrace.wire.messages.k08_offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from headrace.wire.messages.k09_offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestTopic,
    OffsetFetchResponse,
)
from headrace.wire.messages.k20_delete_topics import DeleteTopicsRequest, DeleteTopicsResponse
from headrace.wire.messages.k21_delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopic,
)

Connect = Callable[..., RawClient]

DISK_BYTES = 24 << 20
BALLAST_BYTES = 6 << 20
BATCH_BYTES = 100_000
PRODUCER = 99


class Disk:
    """A small file system of its own, with a file on it that can be deleted to make space."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def add_ballast(self) -> None:
        self._ballast.write_bytes(bytes(BALLAST_BYTES))

    def drop_ballast(self) -> None:
        self._ballast.unlink()

    def fill_up(self) -> None:
        """Leave nothing, also for others than the log."""
        with open(self.path / "filling", "ab", buffering=0) as file:
            for size in (1 << 20, 4096, 512, 1):
                try:
                    while file.write(bytes(size)):
                        continue
                except OSError:
                    continue

    def empty(self) -> None:
        (self.path / "filling").unlink()


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "disk"
    path.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a file system can only be mounted by root")
    if request.param == "tmpfs":
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(path)]
    else:
        image = tmp_path / "image"
        with open(image, "wb") as file:
            file.truncate(DISK_BYTES)
        if shutil.which("mkfs.ext4") is None:
            pytest.skip("there is no mkfs.ext4")
        # Blocks of a page's size, as on any real disk: with smaller ones SQLite's shared memory can
        # have holes, which a full disk turns into SIGBUS.
        format_it = ["mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", str(image)]
        subprocess.run(format_it, check=True)
        mount = ["mount", "-o", "loop", str(image), str(path)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a {request.param} cannot be mounted here: {done.stderr.strip()}")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def numbered(sequence: int) -> bytes:
    value = b"%d." % sequence
    return batch(
        [value + os.urandom(BATCH_BYTES - len(value))],
        producer_id=PRODUCER,
        producer_epoch=0,
        base_sequence=sequence,
    )


class Writer:
    """Numbers its batches, and sends a refused one again as a client would."""

    def __init__(self, client: RawClient, topic: str) -> None:
        self.client = client
        self.topic = topic
        self.sent: list[bytes] = []
        self._next = numbered(0)

    def write(self) -> int:
        """The error code of the next batch."""
        answer = self.client.produce(self.topic, 0, self._next)
        if answer.error_code == 0:
            assert answer.base_offset == len(self.sent)
            self.sent.append(self._next)
            self._next = numbered(len(self.sent))
        return answer.error_code

    def fill(self) -> None:
        """Write until the disk takes no more, and see that it goes on refusing."""
        while (error := self.write()) == 0:
            assert len(self.sent) * BATCH_BYTES < 2 * DISK_BYTES, "the disk is never full"
        assert error == ErrorCode.KAFKA_STORAGE_ERROR
        for _ in range(20):
            assert self.write() in (0, ErrorCode.KAFKA_STORAGE_ERROR)
        assert self.write() == ErrorCode.KAFKA_STORAGE_ERROR

    def check(self, client: RawClient | None = None, start: int = 0) -> None:
        """Exactly what was acknowledged can be read, in order."""
        records = (client or self.client).read_all(self.topic, 0, start)
        assert [r.offset for r in records] == list(range(start, len(self.sent)))
        for record in records:
            assert (record.value or b"") in self.sent[record.offset]


def test_acks_fail_and_nothing_acknowledged_is_lost(
    disk: Disk, broker_process: Any, connect: Connect, create_topic: Any, until: Any
) -> None:
    disk.add_ballast()
    process = broker_process(data=disk.path)
    create_topic(process, "t", segment_bytes=str(4 << 20))
    create_topic(process, "u")
    writer = Writer(connect(process), "t")
    writer.fill()
    writer.check()
    assert len(writer.sent) * BATCH_BYTES > DISK_BYTES // 3
    refused = writer.client.produce("u", 0, batch([bytes(BATCH_BYTES)]))
    assert refused.error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert "No space left" in (refused.error_message or "")

    disk.drop_ballast()
    until(lambda: writer.write() == 0, "a write that works again")
    assert writer.client.produce("u", 0, batch([b"fits"])).base_offset == 0
    writer.check()
    process.stop()
    process.start()
    writer.check(connect(process))


def test_a_broker_killed_on_a_full_disk_starts_on_it_and_reads(
    disk: Disk, broker_process: Any, connect: Connect, create_topic: Any, until: Any
) -> None:
    disk.add_ballast()
    process = broker_process(data=disk.path)
    create_topic(process, "t")
    writer = Writer(connect(process), "t")
    writer.fill()
    disk.fill_up()
    process.kill()
    process.start()
    writer.client = connect(process)
    writer.check()
    assert writer.write() == ErrorCode.KAFKA_STORAGE_ERROR
    disk.drop_ballast()
    until(lambda: writer.write() == 0, "a write that works again")
    writer.check()


def delete_records(client: RawClient, topic: str, offset: int) -> int:
    wanted = DeleteRecordsPartition(partition_index=0, offset=offset)
    request = DeleteRecordsRequest(
        topics=[DeleteRecordsTopic(name=topic, partitions=[wanted])], timeout_ms=10_000
    )
    answer = client.ask(request, DeleteRecordsResponse, 2)
    return answer.topics[0].partitions[0].error_code


def delete_topic(client: RawClient, topic: str) -> int:
    request = DeleteTopicsRequest(topic_names=[topic], timeout_ms=10_000)
    return client.ask(request, DeleteTopicsResponse, 5).responses[0].error_code


def test_space_is_won_back_by_deleting_records_and_topics(
    disk: Disk, broker_process: Any, connect: Connect, create_topic: Any, until: Any
) -> None:
    process = broker_process(data=disk.path)
    create_topic(process, "t", segment_bytes=str(1 << 20))
    create_topic(process, "doomed", segment_bytes=str(1 << 20))
    client = connect(process)
    for _ in range(20):
        assert client.produce("doomed", 0, batch([os.urandom(BATCH_BYTES)])).error_code == 0
    writer = Writer(client, "t")
    writer.fill()
    disk.fill_up()
    assert writer.write() == ErrorCode.KAFKA_STORAGE_ERROR
    # A topic's end is a row in the catalog, for which there may be no space: then it lives on.
    if delete_topic(client, "doomed") == ErrorCode.KAFKA_STORAGE_ERROR:
        assert len(client.read_all("doomed", 0)) == 20
    half = len(writer.sent) // 2
    assert delete_records(client, "t", half) == 0
    until(lambda: writer.write() == 0, "a write into the space of deleted records")
    writer.check(start=half)

    until(lambda: delete_topic(client, "doomed") in (0, 3), "the end of the topic")
    written = len(writer.sent)
    writer.fill()
    assert len(writer.sent) - written >= 10
    writer.check(start=half)


def test_records_deleted_on_a_full_disk_do_not_come_back_after_a_kill(
    disk: Disk, broker_process: Any, connect: Connect, create_topic: Any, until: Any
) -> None:
    process = broker_process(data=disk.path)
    create_topic(process, "t", segment_bytes=str(1 << 20))
    writer = Writer(connect(process), "t")
    writer.fill()
    disk.fill_up()
    half = len(writer.sent) // 2
    assert delete_records(writer.client, "t", half) == 0
    process.kill()
    process.start()
    writer.client = connect(process)
    assert writer.client.fetch("t", 0, half - 1).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    writer.check(start=half)
    until(lambda: writer.write() == 0, "a write into the space of deleted records")


def test_retention_wins_space_back_by_itself(disk: Disk, connect: Connect) -> None:
    with running_broker(str(disk.path), durability="fsync") as broker:
        configs = {"segment.bytes": str(1 << 20), "retention.bytes": str(8 << 20)}
        broker.create_topic("t", configs=configs)
        writer = Writer(connect(broker), "t")
        writer.fill()  # long before retention is looked at by itself
        disk.fill_up()
        assert writer.write() == ErrorCode.KAFKA_STORAGE_ERROR
        deleted = broker.call(lambda node: tidy_all(node.broker.topics, node.broker.now_ms()))
        assert deleted >= 8
        assert writer.write() == 0
        start = writer.client.fetch("t", 0, 10**6).log_start_offset
        assert start > 0
        writer.check(start=start)


def topic_error(client: RawClient, name: str) -> int:
    topics = [MetadataRequestTopic(name=name)]
    request = MetadataRequest(topics=topics, allow_auto_topic_creation=True)
    return client.ask(request, MetadataResponse, 12).topics[0].error_code


def commit(client: RawClient, offset: int) -> int:
    partition = OffsetCommitRequestPartition(committed_offset=offset, committed_metadata="m" * 900)
    topic = OffsetCommitRequestTopic(name="t", partitions=[partition])
    request = OffsetCommitRequest(group_id="team", topics=[topic])
    answer = client.ask(request, OffsetCommitResponse, 8)
    return answer.topics[0].partitions[0].error_code


def committed(client: RawClient) -> int:
    topic = OffsetFetchRequestTopic(name="t", partition_indexes=[0])
    request = OffsetFetchRequest(group_id="team", topics=[topic])
    answer = client.ask(request, OffsetFetchResponse, 7)
    return answer.topics[0].partitions[0].committed_offset


def test_topics_and_committed_offsets_are_refused_and_come_back(
    disk: Disk, broker_process: Any, connect: Connect, create_topic: Any, until: Any
) -> None:
    process = broker_process(data=disk.path)
    create_topic(process, "t")
    client = connect(process)
    assert commit(client, 1) == 0
    disk.fill_up()
    acked = 1
    refused = 0
    for offset in range(2, 3000):
        error = commit(client, offset)
        if error == 0:
            acked = offset
        else:
            assert error == ErrorCode.COORDINATOR_NOT_AVAILABLE  # to be tried again
            refused += 1
        if refused == 20:
            break
    assert refused == 20
    assert committed(client) == acked
    assert topic_error(client, "new") == ErrorCode.KAFKA_STORAGE_ERROR
    assert topic_error(client, "t") == 0

    process.kill()
    process.start()
    client = connect(process)
    assert committed(client) == acked
    assert topic_error(client, "t") == 0

    disk.empty()
    until(lambda: commit(client, 5000) == 0, "a commit that works again")
    until(lambda: topic_error(client, "new") == 0, "a topic that can be made again")
    assert committed(client) == 5000
    assert client.produce("new", 0, batch([b"first"])).base_offset == 0
