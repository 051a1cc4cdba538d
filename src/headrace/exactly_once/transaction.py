"""The producer's side: one transaction after the other, and librdkafka's three kinds of errors.

    retriable      the same call again, until the deadline (`Stalled`)
    abortable      the transaction is aborted and the batch is done once more (`Abortable`)
    fatal          the producer is of no use any more (`Fenced` where it was replaced, `Broken`)

Errors of single records come by callback and make the transaction abortable; those that no second
try can cure are kept: `hopeless`.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from headrace.exactly_once.errors import Abortable, Broken, Fenced, Stalled, Undeliverable
from headrace.exactly_once.output import Output

__all__ = ["Transactions"]

CALL_S_MAX: Final = 5.0
"""For one call into librdkafka; it goes on where it was when it is called again."""
QUEUE_FULL_S: Final = 0.1
SETTLE_S_MAX: Final = 5.0
"""Before an abort, for what was written to arrive."""
ABORT_S_MAX: Final = 30.0

FENCING: Final = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
    }
)
HOPELESS: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.INVALID_RECORD,
        KafkaError.POLICY_VIOLATION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._INVALID_ARG,
    }
)
PURGED: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
"""By an abort."""
SPOILT: Final = frozenset({KafkaError._STATE, KafkaError._FATAL, KafkaError._CONFLICT})
"""What `produce` says when the transaction has failed already: the abort tells why."""


class Transactions:
    """Of one transactional id. `stall_s_max` bounds each call with all its repetitions."""

    def __init__(self, make: Callable[..., Producer], stall_s_max: float) -> None:
        """`make(on_delivery=...)` makes the producer. Raises ExactlyOnceError."""
        self._stall_s_max = stall_s_max
        self._refused: KafkaError | None = None
        self._wrote = False
        self._producer = make(on_delivery=self._delivered)
        self._insist("begin as a producer", self._producer.init_transactions, stall_s_max)

    def begin(self) -> None:
        self._refused, self._wrote = None, False
        self._insist("begin", lambda _: self._producer.begin_transaction(), self._stall_s_max)

    def write(self, output: Output) -> None:
        """Raises Undeliverable, Abortable, Stalled, and TypeError for what is no record."""
        given: dict[str, Any] = {}
        if output.partition is not None:
            given["partition"] = output.partition
        if output.timestamp_ms is not None:
            given["timestamp"] = output.timestamp_ms
        if output.headers:
            given["headers"] = list(output.headers)
        self._wrote = True
        deadline = time.monotonic() + self._stall_s_max
        while True:
            try:
                self._producer.produce(output.topic, output.value, output.key, **given)
            except BufferError as error:
                self._producer.poll(QUEUE_FULL_S)
                if self._refused is not None:
                    raise Abortable("cannot write", self._refused) from error
                if time.monotonic() > deadline:
                    raise Stalled("the producer's queue stays full") from error
            except KafkaException as error:
                why: KafkaError = error.args[0]
                if why.code() in SPOILT or why.txn_requires_abort():
                    raise Abortable("cannot write", why) from error
                raise Undeliverable(f"cannot write to {output.topic}", why) from error
            else:
                self._producer.poll(0)
                return

    def commit(self, offsets: Sequence[TopicPartition] = (), membership: Any = None) -> None:
        """With the offsets inside, if there are any. Raises Abortable, Stalled, Fenced, Broken."""
        if offsets:
            self._insist(
                "send the offsets",
                lambda s: self._send_offsets(list(offsets), membership, s),
                self._stall_s_max,
            )
        self._insist("commit", self._producer.commit_transaction, self._stall_s_max)

    def abort(self) -> None:
        """Raises Stalled, Fenced, Broken.

        librdkafka sends an abort as soon as it has asked for the first partition to be put into the
        transaction; a broker that has not done so by then refuses the abort, and that is fatal
        (librdkafka issue 4849). So what was written is let arrive first.
        """
        if self._wrote:
            self._producer.flush(SETTLE_S_MAX)
        self._insist("abort", self._producer.abort_transaction, ABORT_S_MAX)

    def hopeless(self) -> Undeliverable | None:
        """Of the transaction that was aborted: what no second try can cure."""
        if self._refused is None or self._refused.code() not in HOPELESS:
            return None
        return Undeliverable("an output was refused", self._refused)

    def close(self) -> None:
        """When no transaction is open. Older clients close when they are forgotten."""
        if hasattr(self._producer, "close"):
            self._producer.close()

    def _send_offsets(self, offsets: list[TopicPartition], membership: Any, seconds: float) -> None:
        """In a thread, since the call may never return, whatever its timeout: it does not when the
        group's coordinator went away at the wrong moment (librdkafka issues 5456 and 5511)."""
        outcome: list[BaseException] = []

        def send() -> None:
            try:
                self._producer.send_offsets_to_transaction(offsets, membership, seconds)
            except BaseException as error:  # noqa: BLE001 - raised below
                outcome.append(error)

        thread = threading.Thread(target=send, name="send-offsets", daemon=True)
        thread.start()
        try:
            thread.join(self._stall_s_max)
        except BaseException:
            with contextlib.suppress(KeyboardInterrupt):
                thread.join(seconds)  # an abort beside it would be refused
            raise
        if thread.is_alive():
            raise Stalled(f"sending the offsets did not end within {self._stall_s_max:g} s")
        if outcome:
            raise outcome[0]

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is None or error.code() in PURGED:
            return
        if self._refused is None or error.code() in HOPELESS:
            self._refused = error

    def _insist(self, what: str, call: Callable[[float], object], seconds: float) -> None:
        """Call with a timeout in seconds until it is done."""
        deadline = time.monotonic() + seconds
        while True:
            left = deadline - time.monotonic()
            try:
                call(max(0.1, min(left, CALL_S_MAX)))
                return
            except KafkaException as error:
                self._judge(what, error, left)

    def _judge(self, what: str, error: KafkaException, left: float) -> None:
        """Return if the call is to be repeated."""
        why: KafkaError = error.args[0]
        code = why.code()
        if code in FENCING or (why.fatal() and code == KafkaError.FENCED_INSTANCE_ID):
            raise Fenced(
                f"cannot {what}: another producer has this transactional id, "
                "or the transaction took longer than transaction.timeout.ms",
                why,
            )
        if why.fatal():
            raise Broken(f"cannot {what}", why) from error
        if why.txn_requires_abort():
            if code in HOPELESS and self._refused is None:
                self._refused = why
            raise Abortable(f"cannot {what}", why) from error
        if not why.retriable() and code != KafkaError._TIMED_OUT:
            raise Broken(f"cannot {what}", why) from error
        if left <= 0:
            raise Stalled(f"cannot {what}", why) from error
