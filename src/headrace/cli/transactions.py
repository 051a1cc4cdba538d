"""What a broker knows about transactions, and how it is told to abort one.

A transaction is open twice: at the coordinator of its transactional id, and in every partition
that it has written to, under the id of its producer. One that is open in a partition and at no
coordinator hangs. What must not enter: how it is shown (`transaction`), what may be aborted
(`transaction_abort`).
"""

import time
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.cli.connection import Connection
from headrace.cli.failure import Failure
from headrace.cli.offsets import Partition, describe_topics
from headrace.cli.plain_brokers import CoordinatorType, check, coordinator, every_broker
from headrace.cli.plain_requests import PlainRequests
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k22_init_producer_id import (
    InitProducerIdRequest,
    InitProducerIdResponse,
)
from headrace.wire.messages.k27_write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)
from headrace.wire.messages.k61_describe_producers import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    ProducerState,
    TopicRequest,
)
from headrace.wire.messages.k65_describe_transactions import (
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
    TransactionState,
)
from headrace.wire.messages.k66_list_transactions import (
    ListTransactionsRequest,
    ListTransactionsResponse,
)

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

__all__ = [
    "ENDED",
    "PartitionProducer",
    "Transaction",
    "abort_in_partition",
    "fence",
    "find_transaction",
    "list_transactions",
    "producers_of",
    "with_owners",
]

ENDED: Final = frozenset({"Empty", "CompleteCommit", "CompleteAbort", "Dead"})
"""States without an open transaction."""

_DESCRIBED_AT_ONCE: Final = 1000
_DURATION_SINCE: Final = 1
"""The version of ListTransactions that filters by how long a transaction has lasted."""
_FENCING_TIMEOUT_MS: Final = 60_000
_RETRY_S: Final = 0.1


class Transaction(NamedTuple):
    """A transactional id, as its coordinator has it."""

    transactional_id: str
    state: str
    producer_id: int
    producer_epoch: int
    timeout_ms: int
    started_ms: int | None
    """None without an open transaction."""
    partitions: list[Partition]
    coordinator: str

    @property
    def age_s(self) -> float | None:
        """By this machine's clock."""
        return None if self.started_ms is None else max(0.0, time.time() - self.started_ms / 1000)


class PartitionProducer(NamedTuple):
    """A producer, as a partition has it."""

    topic: str
    partition: int
    producer_id: int
    producer_epoch: int
    last_sequence: int | None
    last_timestamp_ms: int | None
    coordinator_epoch: int
    """-1 before the producer's first transaction ended here."""
    open_from: int | None
    """The first offset of its open transaction."""


def list_transactions(
    connection: Connection, admin: "AdminClient", states: Collection[str], older_than_ms: int
) -> list[Transaction]:
    """Of all brokers, by id; no states are all, a negative age is any. Raises Failure."""
    _check_plain(connection)
    asked = ListTransactionsRequest(state_filters=list(states), duration_filter=older_than_ms)
    version_min = _DURATION_SINCE if older_than_ms >= 0 else 0
    found: list[Transaction] = []
    for requests in every_broker(connection, admin):
        answer = requests.ask(asked, ListTransactionsResponse, version_min=version_min)
        check(answer.error_code, None, "list transactions")
        names = [state.transactional_id for state in answer.transaction_states]
        for at in range(0, len(names), _DESCRIBED_AT_ONCE):
            found += [
                _transaction(state, requests.where)
                for state in _described(requests, names[at : at + _DESCRIBED_AT_ONCE])
                if not state.error_code and (not states or state.transaction_state in states)
            ]
    return sorted(found)


def find_transaction(
    connection: Connection, admin: "AdminClient", transactional_id: str
) -> Transaction:
    """Raises Failure."""
    _check_plain(connection)
    what = f"transaction {transactional_id}"
    with coordinator(connection, admin, transactional_id, CoordinatorType.TRANSACTION) as requests:
        [state] = _described(requests, [transactional_id])
        if state.error_code == ErrorCode.TRANSACTIONAL_ID_NOT_FOUND:
            message = f"{what}: there is no such transactional id; `headrace transaction list`"
            raise Failure(message, reason=ErrorCode.TRANSACTIONAL_ID_NOT_FOUND.name)
        check(state.error_code, None, what)
        return _transaction(state, requests.where)


def with_owners(
    connection: Connection, admin: "AdminClient", seen: Iterable[PartitionProducer]
) -> list[tuple[PartitionProducer, str | None]]:
    """Each with the transactional id of its open transaction. One that is open and has none hangs:
    the coordinator knew nothing of it, and afterwards it was still open. Raises Failure."""
    found = list(seen)
    wanted = {producer.producer_id for producer in found if producer.open_from is not None}
    known = _open_transactions_of(connection, admin, wanted) if wanted else {}
    owners = [known.get((one.producer_id, (one.topic, one.partition))) for one in found]
    places = {
        (one.topic, one.partition)
        for one, owner in zip(found, owners, strict=True)
        if one.open_from is not None and owner is None
    }
    still_open = {
        (again.topic, again.partition, again.producer_id, again.open_from)
        for topic, partition in sorted(places)
        for again in producers_of(connection, admin, topic, partition)
        if isinstance(again, PartitionProducer)
    }
    return [
        (one, owner)
        if owner is not None
        or (one.topic, one.partition, one.producer_id, one.open_from) in still_open
        else (one._replace(open_from=None), None)
        for one, owner in zip(found, owners, strict=True)
    ]


def _open_transactions_of(
    connection: Connection, admin: "AdminClient", producer_ids: Collection[int]
) -> dict[tuple[int, Partition], str]:
    """By producer id and partition: the transactional id whose transaction is open there, as its
    coordinator has it. Raises Failure."""
    asked = ListTransactionsRequest(producer_id_filters=sorted(producer_ids))
    found = {}
    for requests in every_broker(connection, admin):
        answer = requests.ask(asked, ListTransactionsResponse)
        check(answer.error_code, None, "list transactions")
        names = [state.transactional_id for state in answer.transaction_states]
        for state in _described(requests, names) if names else ():
            if state.error_code or state.transaction_state in ENDED:
                continue
            for partition in _transaction(state, requests.where).partitions:
                found[state.producer_id, partition] = state.transactional_id
    return found


def producers_of(
    connection: Connection, admin: "AdminClient", topic: str, partition: int | None
) -> Iterator[PartitionProducer | Failure]:
    """Of all partitions, or of one; a partition that does not tell is a Failure among them. Raises
    Failure."""
    for number, leader in _leaders(connection, admin, topic, partition):
        what = f"{topic}/{number}"
        if leader is None:
            yield Failure(f"{what}: it has no leader now")
            continue
        with PlainRequests(*leader, connection.timeout_s) as requests:
            asked = DescribeProducersRequest([TopicRequest(topic, [number])])
            [told] = requests.ask(asked, DescribeProducersResponse).topics[0].partitions
        try:
            check(told.error_code, told.error_message, what)
        except Failure as failure:
            yield failure
            continue
        for state in sorted(told.active_producers, key=lambda state: state.producer_id):
            yield _producer(topic, number, state)


def fence(connection: Connection, admin: "AdminClient", transaction: Transaction) -> None:
    """Abort the transaction by taking its transactional id from its producer. Raises Failure."""
    name = transaction.transactional_id
    timeout_ms = min(max(1, transaction.timeout_ms), _FENCING_TIMEOUT_MS)
    asked = InitProducerIdRequest(name, timeout_ms)
    deadline = time.monotonic() + connection.timeout_s
    with coordinator(connection, admin, name, CoordinatorType.TRANSACTION) as requests:
        while True:
            code = requests.ask(asked, InitProducerIdResponse).error_code
            if code != ErrorCode.CONCURRENT_TRANSACTIONS or time.monotonic() > deadline:
                check(code, None, f"abort {name}")
                return
            time.sleep(_RETRY_S)  # it is being aborted


def abort_in_partition(
    connection: Connection, admin: "AdminClient", found: PartitionProducer
) -> None:
    """Write the marker that ends what is open of the producer. Raises Failure."""
    what = f"abort {found.topic}/{found.partition}"
    [(_, leader)] = _leaders(connection, admin, found.topic, found.partition)
    if leader is None:
        raise Failure(f"{what}: it has no leader now")
    marker = WritableTxnMarker(
        found.producer_id,
        found.producer_epoch,
        False,
        [WritableTxnMarkerTopic(found.topic, [found.partition])],
        max(found.coordinator_epoch, 0),
    )
    with PlainRequests(*leader, connection.timeout_s) as requests:
        answer = requests.ask(WriteTxnMarkersRequest([marker]), WriteTxnMarkersResponse)
    [result] = answer.markers[0].topics[0].partitions
    check(result.error_code, None, what)


def _leaders(
    connection: Connection, admin: "AdminClient", topic: str, partition: int | None
) -> list[tuple[int, tuple[str, int] | None]]:
    """Partition and address of its leader. Raises Failure."""
    _check_plain(connection)
    [described] = describe_topics(connection, admin, [topic])
    if partition is not None and partition >= len(described.partitions):
        last = len(described.partitions) - 1
        raise Failure(f"topic {topic} has no partition {partition}, they end at {last}")
    return [
        (part.id, (part.leader.host, part.leader.port) if part.leader else None)
        for part in described.partitions
        if partition is None or part.id == partition
    ]


def _described(requests: PlainRequests, names: list[str]) -> list[TransactionState]:
    asked = DescribeTransactionsRequest(names)
    return requests.ask(asked, DescribeTransactionsResponse).transaction_states


def _transaction(state: TransactionState, where: str) -> Transaction:
    started_ms = state.transaction_start_time_ms
    return Transaction(
        state.transactional_id,
        state.transaction_state,
        state.producer_id,
        state.producer_epoch,
        state.transaction_timeout_ms,
        started_ms if started_ms >= 0 and state.transaction_state not in ENDED else None,
        sorted((topic.topic, number) for topic in state.topics for number in topic.partitions),
        where,
    )


def _producer(topic: str, partition: int, state: ProducerState) -> PartitionProducer:
    def known(number: int) -> int | None:
        return number if number >= 0 else None

    return PartitionProducer(
        topic,
        partition,
        state.producer_id,
        state.producer_epoch,
        known(state.last_sequence),
        known(state.last_timestamp),
        state.coordinator_epoch,
        known(state.current_txn_start_offset),
    )


def _check_plain(connection: Connection) -> None:
    if not connection.is_plain:
        raise Failure("transactions are asked for over a plain connection, not an encrypted one")
