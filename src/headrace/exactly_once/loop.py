"""Consume, process, produce and commit, again and again."""

import socket
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import Consumer, Message, Producer, libversion

from headrace.exactly_once.errors import Abortable, Broken, ExactlyOnceError, Fenced, Stalled
from headrace.exactly_once.inbox import Batch, Inbox, Partitions
from headrace.exactly_once.output import Output
from headrace.exactly_once.transaction import Transactions

__all__ = ["ExactlyOnce", "Process"]

Process = Callable[[Sequence[Message]], Iterable[Output]]
"""Records in (no errors among them, each partition's in order), records out. Called again with the
same records when their transaction had to be aborted, so it keeps no effects outside."""

BATCH_RECORDS_MAX: Final = 500
BATCH_S_MAX: Final = 0.1
STALL_S_MAX: Final = 120.0
PAUSE_S_MAX: Final = 1.0
"""Before a batch is tried again."""

KEEP_BROKERS: Final = (
    {"metadata.recovery.strategy": "none"} if libversion()[1] >= 0x020B0000 else {}
)
"""A producer that forgets a broker while it is away waits for it for ever when offsets are to be
sent (librdkafka issue 5511). The setting is as old as the fault."""

OURS: Final = {
    "enable.auto.commit": "offsets are committed in the transaction",
    "enable.auto.offset.store": "offsets are committed in the transaction",
    "enable.partition.eof": "stalls are told from quiet topics with it",
    "isolation.level": "only read_committed is exactly once",
    "enable.idempotence": "transactions are",
    "group.id": "it is the argument `group`",
    "transactional.id": "it is the argument `transactional_id`",
}


class ExactlyOnce:
    """A context manager; `run` or `step` inside it.

    - `config`: what both clients need, above all `bootstrap.servers`; `consumer` and `producer` add
      settings for one of them (names of librdkafka).
    - `transactional_id`: stable for each process that runs at a time ("billing-0"), so that one
      that was killed has what it left open aborted when it starts again. Without one, that takes
      `transaction.timeout.ms` (60 s), for which readers of the outputs wait.
    - A batch ends with `batch_records_max` records or `batch_s_max` seconds after its first. Its
      processing should take much less than `transaction.timeout.ms`.
    - `stall_s_max`: see `Stalled`.
    - `on_assigned`, `on_revoked`: called with `TopicPartition`s between transactions, for programs
      that keep state by partition.

    Not for use by several threads at a time; `stop` may be called from any, and from signal
    handlers.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        group: str,
        topics: Sequence[str],
        *,
        transactional_id: str | None = None,
        batch_records_max: int = BATCH_RECORDS_MAX,
        batch_s_max: float = BATCH_S_MAX,
        stall_s_max: float = STALL_S_MAX,
        on_assigned: Partitions | None = None,
        on_revoked: Partitions | None = None,
        consumer: Mapping[str, Any] | None = None,
        producer: Mapping[str, Any] | None = None,
    ) -> None:
        """Raises ValueError for settings that are not left to choose. Connects when entered."""
        for name in (*config, *(consumer or ()), *(producer or ())):
            if name in OURS:
                raise ValueError(f"{name} cannot be set: {OURS[name]}")
        if isinstance(topics, str) or not topics:
            raise ValueError("topics is a list of one or more names")
        if batch_records_max < 1 or stall_s_max <= 0:
            raise ValueError("batch_records_max and stall_s_max are positive")
        self.group = group
        self.topics = tuple(topics)
        self.transactional_id = transactional_id or (
            f"{group}-{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        )
        self.batch_records_max = batch_records_max
        self.batch_s_max = batch_s_max
        self.stall_s_max = stall_s_max
        self._on_assigned, self._on_revoked = on_assigned, on_revoked
        self._consumer_config = {**config, **(consumer or {})}
        self._producer_config = {**config, **(producer or {})}
        self._inbox: Inbox | None = None
        self._transactions: Transactions | None = None
        self._stopping = False
        self._ended: ExactlyOnceError | None = None
        self._failing_since: float | None = None
        self._failures = 0

    def __enter__(self) -> Self:
        """Raises ExactlyOnceError, KafkaException for settings that librdkafka refuses."""
        # First: it ends what a predecessor of the same name has left, so that offsets are stable.
        self._transactions = Transactions(self._new_producer, self.stall_s_max)
        self._inbox = Inbox(
            self._new_consumer(), self.topics, self.stall_s_max, self._on_assigned, self._on_revoked
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the group. No transaction is open between steps, so there is nothing to lose."""
        inbox, self._inbox = self._inbox, None
        transactions, self._transactions = self._transactions, None
        if inbox is not None:
            inbox.close()
        if transactions is not None and self._ended is None:
            transactions.close()  # else it could wait for what will not come

    def stop(self) -> None:
        """Let `run` return when the batch at hand is committed (within about half a second when
        there is none)."""
        self._stopping = True

    @property
    def is_stopping(self) -> bool:
        """For programs that call `step` themselves."""
        return self._stopping

    def run(self, process: Process) -> None:
        """Until `stop`. Raises what `step` raises; may be called again after an error of
        `process`."""
        while not self._stopping:
            self.step(process)

    def step(self, process: Process) -> int:
        """One batch in one transaction. The number of records that were committed: 0 when there
        were none, and when the transaction was aborted and its batch will come again.

        Whatever `process` raises is raised here, after the abort; the batch comes again.
        Raises Fenced, Stalled, Undeliverable, Broken.
        """
        inbox, transactions = self._parts()
        try:
            batch = inbox.gather(self.batch_records_max, self.batch_s_max)
            if not batch:
                return 0
            self._transact(inbox, transactions, batch, process)
        except (Fenced, Stalled, Broken) as error:
            self._ended = error
            raise
        return len(batch) if self._failing_since is None else 0

    def _transact(
        self, inbox: Inbox, transactions: Transactions, batch: Batch, process: Process
    ) -> None:
        try:
            transactions.begin()
            for output in process(batch.records):
                transactions.write(output)
            transactions.commit(batch.ends(), inbox.membership())
            inbox.committed()
        except Abortable as error:
            transactions.abort()
            hopeless = transactions.hopeless()
            if hopeless is not None:
                raise hopeless from error
            self._failed(error)
        except (Fenced, Stalled, Broken):
            raise  # the abort would do no better
        except BaseException as error:
            self._abort_beside(transactions, error)
            raise
        else:
            self._failing_since, self._failures = None, 0

    def _abort_beside(self, transactions: Transactions, error: BaseException) -> None:
        """Abort because of `error`, which is the one to be raised. If that fails too, the loop
        ends: the transaction may even be committed, if the error came right behind that."""
        try:
            transactions.abort()
        except ExactlyOnceError as second:
            error.add_note(f"the transaction could not be aborted either: {second}")
            self._ended = second

    def _failed(self, error: Abortable) -> None:
        """Try again a little later. Raises Stalled."""
        now = time.monotonic()
        self._failures += 1
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since > self.stall_s_max:
            raise Stalled(
                f"no transaction was committed for {self.stall_s_max:g} s ({error})",
                error.kafka_error,
            ) from error
        time.sleep(min(PAUSE_S_MAX, 0.02 * 2 ** min(self._failures, 10)))

    def _parts(self) -> tuple[Inbox, Transactions]:
        if self._ended is not None:
            raise self._ended
        if self._inbox is None or self._transactions is None:
            raise RuntimeError("the loop is not open: use it in a `with` statement")
        return self._inbox, self._transactions

    def _new_consumer(self) -> Consumer:
        return Consumer(
            {
                "auto.offset.reset": "earliest",
                **self._consumer_config,
                "group.id": self.group,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
            }
        )

    def _new_producer(self, on_delivery: Callable[..., None]) -> Producer:
        return Producer(
            {
                "linger.ms": 5,
                **KEEP_BROKERS,
                **self._producer_config,
                "transactional.id": self.transactional_id,
                "delivery.report.only.error": True,
                "on_delivery": on_delivery,
            }
        )
