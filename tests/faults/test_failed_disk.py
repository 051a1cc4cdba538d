"""A disk that fails takes down the partition that it fails, and says so; the others go on."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.log import disk as log_disk
from headrace.testing import RunningBroker, running_broker
from headrace.testing.hot_messages import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from headrace.testing.raw_client import RawClient, batch
from headrace.wire.errors import ErrorCode

Connect = Callable[..., RawClient]

IN_DOUBT = ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND
"""It was written, and may be there after a restart; KAFKA_STORAGE_ERROR would deny that."""


class FailingDisk:
    """Makes system calls on the files of one partition fail with EIO."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def fail(self, broker: RunningBroker, partition: int, *calls: str) -> None:
        topic = broker.node.broker.topics.by_name["t"]
        files = Path(broker.data_dir, "topics", topic.id.hex, str(partition)).iterdir()
        doomed = {os.stat(file).st_ino for file in files}
        for call in calls:
            self._monkeypatch.setattr(log_disk, call, self._failing(call, doomed))

    def mend(self) -> None:
        self._monkeypatch.undo()

    def _failing(self, call: str, doomed: set[int]) -> Any:
        real = getattr(log_disk, call)

        def fail_or_do(fd: int, *arguments: Any) -> Any:
            if os.fstat(fd).st_ino in doomed:
                raise OSError(errno.EIO, "Input/output error")
            return real(fd, *arguments)

        return fail_or_do


@pytest.fixture
def failing() -> Iterator[FailingDisk]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield FailingDisk(monkeypatch)


def produce(client: RawClient, partition: int, value: bytes, acks: int = -1) -> tuple[int, int]:
    answer = client.produce("t", partition, batch([value]), acks=acks)
    return answer.error_code, answer.base_offset


def test_a_failed_sync_takes_its_partition_offline_and_no_other(
    failing: FailingDisk, tmp_path: Path, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    with running_broker(str(tmp_path), durability="fsync") as broker:
        broker.create_topic("t", 2)
        client, reader = connect(broker), connect(broker)
        for partition in (0, 1):
            assert produce(client, partition, b"safe") == (0, 0)
        failing.fail(broker, 0, "fdatasync")
        answer = client.produce("t", 0, batch([b"in doubt"]))
        assert (answer.error_code, answer.base_offset) == (IN_DOUBT, -1)
        assert "Input/output error" in (answer.error_message or "")
        assert "/0 is offline, a sync failed" in caplog.text
        failing.mend()
        # The disk would "succeed" now; what the failed sync lost would be gone all the same.
        assert produce(client, 0, b"too late")[0] == ErrorCode.KAFKA_STORAGE_ERROR
        assert reader.fetch("t", 0, 0).error_code == ErrorCode.KAFKA_STORAGE_ERROR
        assert produce(client, 1, b"goes on") == (0, 1)
        assert len(reader.read_all("t", 1)) == 2
    with running_broker(str(tmp_path), durability="fsync") as broker:
        client = connect(broker)
        values = [record.value for record in client.read_all("t", 0)]
        assert values in ([b"safe"], [b"safe", b"in doubt"])
        assert produce(client, 0, b"after the restart") == (0, len(values))
        assert len(client.read_all("t", 1)) == 2


def test_who_waits_at_a_partition_that_goes_offline_is_told(
    durable_broker: RunningBroker, failing: FailingDisk, connect: Connect
) -> None:
    durable_broker.create_topic("t")
    client, waiting = connect(durable_broker), connect(durable_broker)
    assert produce(client, 0, b"safe") == (0, 0)
    wants = FetchTopic(topic="t", partitions=[FetchPartition(fetch_offset=1)])
    waiting.send_request(FetchRequest(max_wait_ms=60_000, min_bytes=1, topics=[wants]), 12)
    failing.fail(durable_broker, 0, "fdatasync")
    assert produce(client, 0, b"in doubt")[0] == IN_DOUBT
    _, answer = waiting.read_answer(FetchResponse, 12)
    assert answer.responses[0].partitions[0].error_code == ErrorCode.KAFKA_STORAGE_ERROR


@pytest.mark.parametrize("acks", [-1, 1])
def test_a_failed_write_is_refused_and_the_next_one_tried(
    acks: int, durable_broker: RunningBroker, failing: FailingDisk, connect: Connect
) -> None:
    durable_broker.create_topic("t", 2)
    client = connect(durable_broker)
    for partition in (0, 1):
        assert produce(client, partition, b"first") == (0, 0)
    failing.fail(durable_broker, 0, "pwrite")
    assert produce(client, 0, b"lost", acks)[0] == ErrorCode.KAFKA_STORAGE_ERROR
    assert produce(client, 1, b"second", acks) == (0, 1)
    assert [record.value for record in client.read_all("t", 0)] == [b"first"]
    failing.mend()
    assert produce(client, 0, b"second") == (0, 1)
    assert [record.value for record in client.read_all("t", 0)] == [b"first", b"second"]


def test_records_that_cannot_be_read_are_an_error_of_their_partition_only(
    tmp_path: Path, failing: FailingDisk, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_broker(str(tmp_path)) as broker:
        broker.create_topic("t", 2)
        client = connect(broker)
        for partition in (0, 1):
            assert produce(client, partition, b"x" * 1000) == (0, 0)
    with running_broker(str(tmp_path)) as broker:  # what it did not write itself may be cold
        monkeypatch.setattr(log_disk, "is_cached", lambda *_: False)
        failing.fail(broker, 0, "preadv")
        client = connect(broker)
        wants = [FetchPartition(partition=index) for index in (0, 1)]
        request = FetchRequest(topics=[FetchTopic(topic="t", partitions=wants)])
        answer = client.ask(request, FetchResponse, 12)
        first, second = answer.responses[0].partitions
        assert (first.error_code, first.records) == (ErrorCode.KAFKA_STORAGE_ERROR, b"")
        assert second.error_code == 0
        assert len(second.records or b"") > 1000
