"""Batches of transactions over a socket, as old and new clients send them, and who reads them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace.broker.group_requests import Commit, OffsetToCommit
from headrace.testing import RunningBroker, running_broker
from headrace.testing.hot_messages import (
    FetchResponse,
    PartitionData,
    ProduceResponse,
)
from headrace.testing.raw_client import (
    RawClient,
    batch,
    fetch_request,
    produce_request,
    records_of,
)
from headrace.testing.share_member import ShareMember
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k02_list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
    OffsetMark,
)
from headrace.wire.messages.k22_init_producer_id import (
    InitProducerIdRequest,
    InitProducerIdResponse,
)
from headrace.wire.messages.k24_add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopic,
)
from headrace.wire.messages.k26_end_txn import EndTxnRequest, EndTxnResponse

Connect = Callable[..., RawClient]


class Transactor:
    """A producer that does what it is told, in the protocol before KIP-890 (11) or since (12)."""

    def __init__(self, client: RawClient, topic: str, version: int) -> None:
        self.client = client
        self.topic = topic
        self.version = version
        asked = InitProducerIdRequest(transactional_id=topic, transaction_timeout_ms=60_000)
        answer = client.ask(asked, InitProducerIdResponse, 4)
        self.producer_id, self.epoch = answer.producer_id, answer.producer_epoch

    def add(self, *partitions: int) -> None:
        request = AddPartitionsToTxnRequest(
            v3_and_below_transactional_id=self.topic,
            v3_and_below_producer_id=self.producer_id,
            v3_and_below_producer_epoch=self.epoch,
            v3_and_below_topics=[AddPartitionsToTxnTopic(self.topic, list(partitions))],
        )
        answer = self.client.ask(request, AddPartitionsToTxnResponse, 3)
        assert (
            not answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
        )

    def request(self, sequence: int, value: bytes, partition: int = 0, **fields: Any) -> Any:
        made = batch(
            [value],
            **{
                "producer_id": self.producer_id,
                "producer_epoch": self.epoch,
                "base_sequence": sequence,
                "transactional": True,
            }
            | fields,
        )
        request = produce_request(self.topic, partition, made)
        request.transactional_id = self.topic
        return request

    def write(self, sequence: int, value: bytes, partition: int = 0, **fields: Any) -> int:
        """The error code."""
        request = self.request(sequence, value, partition, **fields)
        answer = self.client.ask(request, ProduceResponse, self.version)
        return answer.responses[0].partition_responses[0].error_code

    def end(self, commit: bool) -> None:
        request = EndTxnRequest(self.topic, self.producer_id, self.epoch, commit)
        version = 5 if self.version >= 12 else 3
        answer = self.client.ask(request, EndTxnResponse, version)
        assert answer.error_code == 0
        if version == 5:
            self.epoch = answer.producer_epoch


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningBroker]:
    with running_broker() as broker:
        yield broker


@pytest.fixture
def transactor(
    shared: RunningBroker, connect: Connect, request: pytest.FixtureRequest
) -> Callable[[int], Transactor]:
    """`transactor(version)` writes to a topic of this test's own."""

    def make(version: int) -> Transactor:
        name = f"{abs(hash(request.node.name))}"
        shared.create_topic(name, 2)
        return Transactor(connect(shared), name, version)

    return make


def fetched(client: RawClient, topic: str, offset: int = 0, **limits: int) -> PartitionData:
    request = fetch_request(topic, 0, offset, **limits)
    request.isolation_level = 1
    return client.ask(request, FetchResponse, 12).responses[0].partitions[0]


def latest(client: RawClient, topic: str, mark: int = OffsetMark.LATEST) -> int:
    """For a reader of committed data."""
    topics = [ListOffsetsTopic(topic, [ListOffsetsPartition(0, timestamp=mark)])]
    request = ListOffsetsRequest(replica_id=-1, isolation_level=1, topics=topics)
    return client.ask(request, ListOffsetsResponse, 7).topics[0].partitions[0].offset


@pytest.mark.parametrize("version", [11, 12, 13])
def test_committed_readers_see_what_was_committed_and_learn_what_was_not(
    shared: RunningBroker, transactor: Callable[[int], Transactor], version: int
) -> None:
    writer = transactor(min(version, 12))
    client = writer.client
    sequence = 0
    for commit in (False, True):
        if version < 12:
            writer.add(0)
        assert writer.write(sequence, b"%d" % commit) == 0
        assert latest(client, writer.topic) == sequence * 2 if version < 12 else True
        writer.end(commit)
        sequence = 0 if version >= 12 else sequence + 1
    data = fetched(client, writer.topic)
    assert (data.last_stable_offset, data.high_watermark) == (4, 4)
    assert [record.offset for record in records_of(data.records or b"")] == [0, 1, 2, 3]
    aborted = [(one.producer_id, one.first_offset) for one in data.aborted_transactions or ()]
    assert aborted == [(writer.producer_id, 0)]
    assert fetched(client, writer.topic, 2).aborted_transactions == []
    assert client.fetch(writer.topic, 0, 0).aborted_transactions is None


def test_a_committed_reader_waits_for_the_end_of_a_transaction(
    shared: RunningBroker, transactor: Callable[[int], Transactor], connect: Connect
) -> None:
    writer = transactor(12)
    assert writer.write(0, b"v") == 0
    assert latest(writer.client, writer.topic) == 0
    assert latest(writer.client, writer.topic, 0) == -1
    reader = connect(shared)
    request = fetch_request(writer.topic, 0, 0, max_wait_ms=10_000)
    request.isolation_level = 1
    reader.send_request(request, 12)
    assert reader.is_silent(0.1)
    writer.end(True)
    _, answer = reader.read_answer(FetchResponse, 12)
    data = answer.responses[0].partitions[0]
    assert [record.offset for record in records_of(data.records or b"")] == [0, 1]


def test_batches_that_come_while_their_partition_is_added_stay_in_order(
    transactor: Callable[[int], Transactor],
) -> None:
    writer = transactor(12)
    requests = [writer.request(sequence, b"%d" % sequence) for sequence in range(20)]
    writer.client.send(b"".join(writer.client.framed(request, 12) for request in requests))
    offsets = []
    for _ in requests:
        _, answer = writer.client.read_answer(ProduceResponse, 12)
        (one,) = answer.responses[0].partition_responses
        assert one.error_code == 0
        offsets.append(one.base_offset)
    assert offsets == list(range(20))


@pytest.mark.parametrize(
    ("version", "code"),
    [(10, ErrorCode.INVALID_TXN_STATE), (11, ErrorCode.TRANSACTION_ABORTABLE)],
)
def test_a_partition_that_was_not_added_takes_no_batch(
    transactor: Callable[[int], Transactor], version: int, code: int
) -> None:
    writer = transactor(version)
    writer.add(0)
    assert writer.write(0, b"v", partition=1) == code
    assert writer.write(0, b"v") == 0
    outside = writer.write(1, b"v", transactional=False)
    assert outside == ErrorCode.INVALID_TXN_STATE


def test_a_transaction_begins_with_sequence_0_in_every_partition(
    transactor: Callable[[int], Transactor],
) -> None:
    writer = transactor(12)
    assert writer.write(0, b"v") == 0
    assert writer.write(1, b"v", partition=1) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert writer.write(0, b"v", partition=1) == 0


@pytest.mark.parametrize("version", [11, 12])
def test_a_fenced_producer_writes_nothing(
    transactor: Callable[[int], Transactor], version: int
) -> None:
    writer = transactor(version)
    if version < 12:
        writer.add(0)
    assert writer.write(0, b"zombie") == 0
    heir = Transactor(writer.client, writer.topic, version)
    assert heir.epoch > writer.epoch
    for partition in (0, 1):
        assert writer.write(1, b"zombie", partition) == ErrorCode.INVALID_PRODUCER_EPOCH
    data = fetched(heir.client, heir.topic)
    assert [(one.producer_id, one.first_offset) for one in data.aborted_transactions or ()] == [
        (writer.producer_id, 0)
    ]


def test_a_transactional_batch_needs_a_transactional_id(
    transactor: Callable[[int], Transactor],
) -> None:
    writer = transactor(12)
    request = writer.request(0, b"v")
    request.transactional_id = None
    answer = writer.client.ask(request, ProduceResponse, 12)
    code = answer.responses[0].partition_responses[0].error_code
    assert code == ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED


def test_share_groups_of_committed_data_are_not_given_what_was_aborted(
    shared: RunningBroker, transactor: Callable[[int], Transactor]
) -> None:
    writer = transactor(12)
    for commit in (False, True):
        assert writer.write(0, b"v") == 0
        writer.end(commit)
    configs = {
        "share.auto.offset.reset": "earliest",
        "share.isolation.level": "read_committed",
    }

    async def configure(node: Any) -> Any:
        await node.broker.group_configs.alter("s", lambda _: configs, in_use=False)
        return node.broker.topics.get(writer.topic).id

    topic_id = shared.call(configure)
    member = ShareMember(shared.host, shared.port, topic_id, "s", topic=writer.topic)
    try:
        assert member.acquire() == [(2, 2, 1)]
    finally:
        member.client.close()


def test_a_group_that_has_read_up_to_the_markers_is_not_behind(
    shared: RunningBroker, transactor: Callable[[int], Transactor]
) -> None:
    writer = transactor(12)
    assert writer.write(0, b"v") == 0
    writer.end(True)

    def lag_at(offset: int) -> int:
        async def measure(node: Any) -> Any:
            offsets = (OffsetToCommit(writer.topic, 0, offset, -1, ""),)
            assert await node.broker.groups.commit(writer.topic, Commit(offsets)) == [0]
            (found,) = await node.broker.lags.measure(writer.topic)
            return found.partitions[0].lag

        return int(shared.call(measure))

    assert [lag_at(offset) for offset in (0, 1, 2)] == [2, 0, 0]
    assert writer.write(0, b"aborted") == 0
    assert lag_at(1) == 2
    writer.end(False)
    assert lag_at(1) == 0
