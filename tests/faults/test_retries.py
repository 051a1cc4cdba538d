"""Retries of an idempotent producer are recognised for as long as it can send them (KIP-98)."""

from collections.abc import Callable
from typing import Any

import pytest

from headrace.testing import RunningBroker
from headrace.testing.hot_messages import ProduceResponse
from headrace.testing.raw_client import RawClient, batch, produce_request
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k03_metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
)

Connect = Callable[..., RawClient]

PRODUCER = 4711
WINDOW = 5


def numbered(sequence: int, count: int = 1, *, epoch: int = 0, producer: int = PRODUCER) -> bytes:
    """A batch whose records say which sequence number each has."""
    values = [b"%d/%d" % (epoch, sequence + place) for place in range(count)]
    return batch(values, producer_id=producer, producer_epoch=epoch, base_sequence=sequence)


def outcome(client: RawClient, records: bytes, acks: int = -1) -> tuple[int, int]:
    answer = client.produce("t", 0, records, acks=acks)
    return answer.error_code, answer.base_offset


@pytest.fixture
def client(durable_broker: RunningBroker, connect: Connect) -> RawClient:
    durable_broker.create_topic("t")
    return connect(durable_broker)


@pytest.mark.parametrize("acks", [-1, 1])
def test_a_retried_batch_returns_its_first_offset(acks: int, client: RawClient, until: Any) -> None:
    assert outcome(client, numbered(0, 3), acks) == (0, 0)
    assert outcome(client, numbered(3, 2), acks) == (0, 3)
    client.produce("t", 0, batch([b"somebody else's"]))
    assert outcome(client, numbered(0, 3), acks) == (0, 0)
    assert outcome(client, numbered(3, 2), acks) == (0, 3)
    assert outcome(client, numbered(5), acks) == (0, 6)
    until(lambda: len(client.read_all("t", 0)) == 7, "the sync of the last record")
    assert outcome(client, numbered(6)) == (0, 7)


def test_a_retry_sent_before_the_first_answer_is_one_write(client: RawClient) -> None:
    again = produce_request("t", 0, numbered(0, 2))
    client.send(b"".join(client.framed(again, 9) for _ in range(10)))
    for _ in range(10):
        _, answer = client.read_answer(ProduceResponse, 9)
        partition = answer.responses[0].partition_responses[0]
        assert (partition.error_code, partition.base_offset) == (0, 0)
    assert len(client.read_all("t", 0)) == 2


def test_a_gap_is_out_of_order_and_closing_it_goes_on(client: RawClient) -> None:
    assert outcome(client, numbered(0)) == (0, 0)
    assert outcome(client, numbered(2)) == (ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, -1)
    assert outcome(client, numbered(1)) == (0, 1)
    assert outcome(client, numbered(2)) == (0, 2)


def test_a_batch_that_overlaps_another_is_out_of_order(client: RawClient) -> None:
    assert outcome(client, numbered(0, 4)) == (0, 0)
    for first, count in ((0, 3), (1, 3), (2, 4), (0, 5)):
        refused = outcome(client, numbered(first, count))
        assert refused == (ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, -1)


def test_five_batches_are_remembered_and_no_more_are_taken_for_retries(client: RawClient) -> None:
    for sequence in range(WINDOW + 1):
        assert outcome(client, numbered(sequence)) == (0, sequence)
    for sequence in range(1, WINDOW + 1):
        assert outcome(client, numbered(sequence)) == (0, sequence)
    assert outcome(client, numbered(0)) == (ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, -1)
    assert len(client.read_all("t", 0)) == WINDOW + 1


def test_an_old_epoch_is_refused_and_a_new_one_starts_at_zero(client: RawClient) -> None:
    assert outcome(client, numbered(0, epoch=3)) == (0, 0)
    assert outcome(client, numbered(1, epoch=2)) == (ErrorCode.INVALID_PRODUCER_EPOCH, -1)
    out_of_order = (ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, -1)
    assert outcome(client, numbered(1, epoch=4)) == out_of_order
    assert outcome(client, numbered(0, epoch=4)) == (0, 1)
    assert outcome(client, numbered(1, epoch=3)) == (ErrorCode.INVALID_PRODUCER_EPOCH, -1)


def test_sequences_wrap_and_retries_across_the_wrap_are_known(client: RawClient) -> None:
    last = 0x7FFFFFFF
    assert outcome(client, numbered(last - 1)) == (0, 0)
    across = numbered(last, 3)  # last, 0, 1
    assert outcome(client, across) == (0, 1)
    assert outcome(client, numbered(2)) == (0, 4)
    assert outcome(client, across) == (0, 1)


def test_producers_do_not_mix(client: RawClient) -> None:
    for producer in (1, 2, 3):
        assert outcome(client, numbered(0, producer=producer))[0] == 0
    for place, producer in enumerate((1, 2, 3)):
        assert outcome(client, numbered(0, producer=producer)) == (0, place)


def test_a_refused_batch_is_not_remembered(client: RawClient) -> None:
    broken = bytearray(numbered(0))
    broken[-1] ^= 1
    assert outcome(client, bytes(broken)) == (ErrorCode.CORRUPT_MESSAGE, -1)
    assert outcome(client, numbered(0)) == (0, 0)


# Across the end of the process


def new_topic(client: RawClient) -> None:
    topics = [MetadataRequestTopic(name="t")]
    request = MetadataRequest(topics=topics, allow_auto_topic_creation=True)
    assert client.ask(request, MetadataResponse, 12).topics[0].error_code == 0


@pytest.mark.parametrize("end", ["stop", "kill"])
@pytest.mark.parametrize("durability", ["fsync", "os"])
def test_the_window_survives_the_process(
    end: str, durability: str, broker_process: Any, connect: Connect
) -> None:
    process = broker_process("--durability", durability)
    client = connect(process)
    new_topic(client)
    for sequence in range(8):
        assert outcome(client, numbered(sequence)) == (0, sequence)
    getattr(process, end)()
    process.start()
    client = connect(process)
    for sequence in range(3, 8):
        assert outcome(client, numbered(sequence)) == (0, sequence)
    out_of_order = (ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, -1)
    assert outcome(client, numbered(9)) == out_of_order
    assert outcome(client, numbered(2)) == out_of_order
    assert outcome(client, numbered(8)) == (0, 8)
    assert [r.value for r in client.read_all("t", 0)] == [b"0/%d" % n for n in range(9)]


def test_what_was_under_way_when_it_was_killed_is_there_once_after_the_retry(
    broker_process: Any, connect: Connect
) -> None:
    process = broker_process()
    client = connect(process)
    new_topic(client)
    sequence = 0
    for kill_after in (0, 1, 3, 5):
        window = [numbered(sequence + place) for place in range(WINDOW)]
        client.send(b"".join(client.framed(produce_request("t", 0, b), 9) for b in window))
        for _ in range(kill_after):
            client.read_answer(ProduceResponse, 9)
        process.kill()
        process.start()
        client = connect(process)
        for place, again in enumerate(window):
            assert outcome(client, again) == (0, sequence + place)
        sequence += WINDOW
    values = [record.value for record in client.read_all("t", 0)]
    assert values == [b"0/%d" % number for number in range(sequence)]
