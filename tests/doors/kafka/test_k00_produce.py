"""Produce as a client sees it: which acknowledgement comes, when, and in which order."""

from collections.abc import Callable
from typing import Any

import pytest

from headrace.doors.kafka.k00_produce import FIRST_VERSION, VERSIONS
from headrace.testing import RunningBroker
from headrace.testing.hot_messages import (
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)
from headrace.testing.raw_client import RawClient, batch, produce_request
from headrace.wire.errors import ErrorCode

Connect = Callable[..., RawClient]


@pytest.mark.parametrize("acks", [-1, 1])
@pytest.mark.parametrize("version", range(FIRST_VERSION, VERSIONS[1]))
def test_every_version_tells_the_offset(
    version: int, acks: int, broker: RunningBroker, connect: Connect
) -> None:
    broker.create_topic("t")
    client = connect(broker)
    answers = [
        client.produce("t", 0, batch([b"a", b"b"]), acks=acks, version=version) for _ in range(3)
    ]
    assert [(answer.error_code, answer.base_offset) for answer in answers] == [
        (0, 0),
        (0, 2),
        (0, 4),
    ]


def test_an_acknowledged_record_is_readable_at_once(
    durable_broker: RunningBroker, connect: Connect
) -> None:
    durable_broker.create_topic("t")
    writer, reader = connect(durable_broker), connect(durable_broker)
    for number in range(50):
        assert writer.produce("t", 0, batch([b"%d" % number])).base_offset == number
        assert reader.fetch("t", 0, number).high_watermark == number + 1


def test_partitions_of_one_request_are_answered_each_for_itself(
    broker: RunningBroker, connect: Connect
) -> None:
    broker.create_topic("t", 2)
    data = [
        PartitionProduceData(index=1, records=batch([b"one"])),
        PartitionProduceData(index=7, records=batch([b"nowhere"])),
        PartitionProduceData(index=0, records=batch([b"zero"])),
    ]
    request = ProduceRequest(topic_data=[TopicProduceData(name="t", partition_data=data)])
    (topic,) = connect(broker).ask(request, ProduceResponse, 12).responses
    assert [(p.index, p.error_code, p.base_offset) for p in topic.partition_responses] == [
        (1, 0, 0),
        (7, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1),
        (0, 0, 0),
    ]


def test_a_request_without_batches_is_answered(broker: RunningBroker, connect: Connect) -> None:
    assert connect(broker).ask(ProduceRequest(), ProduceResponse, 12).responses == []


def test_append_time_is_told_where_the_topic_keeps_it(
    broker: RunningBroker, connect: Connect
) -> None:
    broker.create_topic("appended", configs={"message.timestamp.type": "LogAppendTime"})
    broker.create_topic("created")
    client = connect(broker)
    assert client.produce("appended", 0, batch([b"x"])).log_append_time_ms > 0
    assert client.produce("created", 0, batch([b"x"])).log_append_time_ms == -1


def test_without_acks_nothing_is_answered_and_the_record_is_there(
    broker: RunningBroker, connect: Connect, until: Any
) -> None:
    broker.create_topic("t")
    client = connect(broker)
    client.send_request(produce_request("t", 0, batch([b"quiet"]), acks=0), 12)
    until(lambda: client.fetch("t", 0, 0).high_watermark == 1, "the append")
