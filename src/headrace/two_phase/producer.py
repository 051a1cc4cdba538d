"""A producer whose transactions wait for a decision that is made elsewhere.

Its place in a transaction, and the calls that are possible there:

    CLOSED     open
    READY      begin
    OPEN       send, prepare, commit, abort
    BROKEN     abort: something that was sent did not get there
    PREPARED   complete, commit, abort

`commit`, `abort` and `complete` lead back to READY; when they raise Unanswered, the transaction is
where it was for the program, and they may be called again: the broker knows whether it has ended.
What must not enter: sockets.
"""

import time
from collections.abc import Sequence
from enum import Enum
from types import TracebackType
from typing import Final

from headrace.two_phase.errors import OutOfTurn
from headrace.two_phase.requests import Requests
from headrace.two_phase.state import PreparedState
from headrace.wire.apis import ApiKey
from headrace.wire.messages.k00_produce import (
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)
from headrace.wire.messages.k22_init_producer_id import (
    InitProducerIdRequest,
    InitProducerIdResponse,
)
from headrace.wire.messages.k26_end_txn import EndTxnRequest, EndTxnResponse
from headrace.wire.records import Record, build_batch

__all__ = ["BUFFERED_BYTES_MAX", "TwoPhaseProducer"]

BUFFERED_BYTES_MAX: Final = 256 * 1024
"""Keys and values that wait, of all partitions together; more of them are sent at once."""
NEEDS: Final = {
    ApiKey.PRODUCE: 12,  # adds partitions to the transaction by itself (KIP-890)
    ApiKey.INIT_PRODUCER_ID: 6,  # two phases (KIP-939)
    ApiKey.END_TXN: 5,  # every transaction has its own epoch (KIP-890)
}

_RECORD_OVERHEAD_BYTES: Final = 32
_SEQUENCE_MASK: Final = 0x7FFF_FFFF


class _Place(Enum):
    CLOSED = "closed"
    READY = "ready"
    OPEN = "open"
    BROKEN = "broken"
    PREPARED = "prepared"


class TwoPhaseProducer:
    """One transactional id at one broker, which has all partitions. Not for several threads.

    Every method may raise Unanswered, Fenced and Refused, and OutOfTurn where it has no place.
    """

    def __init__(self, bootstrap: str, transactional_id: str, *, timeout_s: float = 30.0) -> None:
        """`bootstrap` is HOST:PORT. `timeout_s` bounds each call, however often the broker has to
        be asked; it says nothing about how long a transaction may take."""
        self.transactional_id = transactional_id
        self._requests = Requests(bootstrap, timeout_s, NEEDS)
        self._place = _Place.CLOSED
        self._producer = PreparedState(-1, -1)
        """Whom requests come from."""
        self._state: PreparedState | None = None
        """Which transaction is prepared."""
        self._waiting: dict[tuple[str, int], list[Record]] = {}
        self._waiting_bytes = 0
        self._sequences: dict[tuple[str, int], int] = {}
        """The next one of each partition that this transaction has written to."""

    def __enter__(self) -> "TwoPhaseProducer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up. A transaction that has not ended stays at the broker, for the next `open`."""
        self._requests.close()
        self._place = _Place.CLOSED

    def open(self, *, keep_prepared: bool = True) -> PreparedState | None:
        """Become the producer of the transactional id; whoever was it is fenced.

        The transaction that it left open, prepared or not, is kept to be ended (`complete`), or
        aborted without `keep_prepared`. Returns the state of the one that is kept, None if there
        is none. Raises Refused, TRANSACTIONAL_ID_AUTHORIZATION_FAILED, if the broker does not allow
        two-phase commits.
        """
        self._check_place("open", _Place.CLOSED)
        answer = self._requests.ask(
            f"taking {self.transactional_id!r} (transaction.two.phase.commit.enable must be set)",
            InitProducerIdRequest(
                transactional_id=self.transactional_id,
                enable2_pc=True,
                keep_prepared_txn=keep_prepared,
            ),
            InitProducerIdResponse,
            lambda answer: answer.error_code,
        )
        self._producer = PreparedState(answer.producer_id, answer.producer_epoch)
        self._enter(_Place.READY)
        if answer.ongoing_txn_producer_id >= 0:
            self._enter(_Place.PREPARED)
            self._state = PreparedState(
                answer.ongoing_txn_producer_id, answer.ongoing_txn_producer_epoch
            )
        return self._state

    def begin(self) -> None:
        """Begin a transaction; the broker hears of it with the first records."""
        self._check_place("begin", _Place.READY)
        self._enter(_Place.OPEN)

    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        partition: int,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> None:
        """Write a record, with the time of now. It may wait here for others (up to
        BUFFERED_BYTES_MAX), but not longer than until `prepare` or `commit`.

        After an error the transaction can only be aborted.
        """
        self._check_place("send", _Place.OPEN)
        record = Record(
            timestamp_ms=time.time_ns() // 1_000_000, key=key, value=value, headers=tuple(headers)
        )
        self._waiting.setdefault((topic, partition), []).append(record)
        self._waiting_bytes += _size_bytes(record)
        if self._waiting_bytes >= BUFFERED_BYTES_MAX:
            self._flush()

    def prepare(self) -> PreparedState:
        """All records are durably in the transaction; from now on it can only be ended.

        Store the state in the database transaction that decides.
        """
        self._check_place("prepare", _Place.OPEN)
        self._flush()
        if not self._sequences:
            raise OutOfTurn("nothing was sent that could be prepared")
        self._enter(_Place.PREPARED)
        self._state = self._producer
        return self._state

    def complete(self, stored: PreparedState | str | None) -> bool:
        """Commit the prepared transaction if it is the one whose state the database has, abort it
        otherwise (KIP-939). Returns whether it was committed. Raises ValueError for a str that is
        no state."""
        self._check_place("complete", _Place.PREPARED)
        if isinstance(stored, str):
            stored = PreparedState.parse(stored)
        is_decided = stored == self._state
        self._end(is_decided)
        return is_decided

    def commit(self) -> None:
        """When it returns the transaction is committed, and readers of committed records see it,
        but for partitions that are offline."""
        self._check_place("commit", _Place.OPEN, _Place.PREPARED)
        if self._place is _Place.OPEN:
            self._flush()
            if not self._sequences:
                self._enter(_Place.READY)  # the broker knows of no transaction
                return
        self._end(True)

    def abort(self) -> None:
        """Whatever was sent is never seen by readers of committed records."""
        self._check_place("abort", _Place.OPEN, _Place.BROKEN, _Place.PREPARED)
        self._end(False)

    def _flush(self) -> None:
        """Every partition gets what waits for it. What fails breaks the transaction: the records
        after a hole must not be taken for all."""
        try:
            for (topic, partition), records in self._waiting.items():
                self._write(topic, partition, records)
        except BaseException:  # an interrupted write is a hole too
            self._place = _Place.BROKEN
            raise
        finally:
            self._waiting.clear()
            self._waiting_bytes = 0

    def _write(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        sequence = self._sequences.get((topic, partition), 0)
        batch = build_batch(
            records,
            producer_id=self._producer.producer_id,
            producer_epoch=self._producer.epoch,
            base_sequence=sequence,
            transactional=True,
        )
        data = [PartitionProduceData(index=partition, records=batch)]
        self._requests.ask(
            f"writing to {topic}-{partition}",
            ProduceRequest(
                transactional_id=self.transactional_id,
                topic_data=[TopicProduceData(name=topic, partition_data=data)],
            ),
            ProduceResponse,
            lambda answer: answer.responses[0].partition_responses[0].error_code,
        )
        self._sequences[topic, partition] = (sequence + len(records)) & _SEQUENCE_MASK

    def _end(self, commit: bool) -> None:
        what = "committing" if commit else "aborting"
        answer = self._requests.ask(
            f"{what} the transaction of {self.transactional_id!r}",
            EndTxnRequest(
                transactional_id=self.transactional_id,
                producer_id=self._producer.producer_id,
                producer_epoch=self._producer.epoch,
                committed=commit,
            ),
            EndTxnResponse,
            lambda answer: answer.error_code,
        )
        self._producer = PreparedState(answer.producer_id, answer.producer_epoch)
        self._enter(_Place.READY)

    def _enter(self, place: _Place) -> None:
        if place is _Place.READY:
            self._state = None
            self._waiting.clear()
            self._waiting_bytes = 0
            self._sequences.clear()
        self._place = place

    def _check_place(self, call: str, *places: _Place) -> None:
        if self._place not in places:
            raise OutOfTurn(f"{call}: the transaction is {self._place.value}")


def _size_bytes(record: Record) -> int:
    """About what it takes on the wire."""
    size = _RECORD_OVERHEAD_BYTES + len(record.key or b"") + len(record.value or b"")
    return size + sum(len(name) + len(value or b"") + 2 for name, value in record.headers)
