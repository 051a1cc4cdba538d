"""Produce (key 0), versions 0-13 advertised, 3-13 served.

Version 0 is advertised because librdkafka before 2.11 switches features on by testing for exact
old versions in the range; nobody sends them. A request below 3 closes the connection, as a broker
since Kafka 4.0 does.

 - every partition's batch is appended at once, in the order sent; the answer leaves when the last
   of them is as durable as `acks` and the durability policy ask
 - acks=0: no answer at all; an error closes the connection
 - v7 zstd, v8 error messages, v10 leader hints (never needed: one broker leads all), v13 topic ids
 - a transactional batch for a partition that is not in the transaction adds it from v12 on
   (KIP-890); before that it gets INVALID_TXN_STATE, in v11 TRANSACTION_ABORTABLE

No task is made for a request: the partitions call back.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

from headrace.broker.append import (
    ACKS_ALL,
    ACKS_LEADER,
    ACKS_NONE,
    AppendDone,
    Appended,
    InTransaction,
    append,
)
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, InvalidRecordsError, RequestError
from headrace.wire.header import RequestHead
from headrace.wire.produce import (
    FIRST_VERSION,
    PartitionBatch,
    PartitionResult,
    ProduceRequest,
    read_produce,
    write_produce,
)

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["FIRST_VERSION", "VERSIONS", "RefusedWithoutAnswer", "serve"]

VERSIONS = (0, 13)
_ZSTD_VERSION = 7
_ABORTABLE_VERSION = 11
_ADDS_PARTITION_VERSION = 12
MESSAGE_CHARS_MAX: Final = 1000
"""Of an error message: it is told once for every partition asked for."""

Answer = Callable[[bytes], None]


class RefusedWithoutAnswer(Exception):
    """An acks=0 batch was refused: closing the connection is the only way to say so."""


def _answer_one(
    request: ProduceRequest, head: RequestHead, answer: Answer, outcome: Appended | RequestError
) -> None:
    """The answer to a request of one batch, which most clients send."""
    answer(write_produce(request, [_result(outcome)], head.correlation_id, head.api_version))


def _result(outcome: Appended | RequestError) -> PartitionResult:
    if isinstance(outcome, RequestError):
        message = outcome.message[:MESSAGE_CHARS_MAX] or None
        records = outcome.records if isinstance(outcome, InvalidRecordsError) else ()
        return PartitionResult(outcome.code, -1, -1, -1, message, records)
    base, _, append_time_ms, log_start, _ = outcome
    return PartitionResult(0, base, append_time_ms, log_start, None)


class _Waiting:
    """One request and the partitions that it still waits for."""

    __slots__ = ("_answer", "_head", "_open", "_request", "_results")

    def __init__(self, request: ProduceRequest, head: RequestHead, answer: Answer) -> None:
        self._request = request
        self._head = head
        self._answer = answer
        self._results: list[PartitionResult | None] = [None] * len(request.batches)
        self._open = len(request.batches)

    def settle(self, place: int, outcome: Appended | RequestError) -> None:
        self._results[place] = _result(outcome)
        self._open -= 1
        if not self._open:
            self.answer()

    def answer(self) -> None:
        head = self._head
        results = [result for result in self._results if result is not None]
        self._answer(write_produce(self._request, results, head.correlation_id, head.api_version))


def serve(
    broker: "Broker", frame: memoryview, head: RequestHead, reserve: Callable[[], Answer]
) -> None:
    """Append what `frame` holds; `reserve` is called first if there will be an answer.

    Raises MalformedError, and RefusedWithoutAnswer for acks=0.
    """
    version = head.api_version
    request = read_produce(frame, head.body, version)
    acks = request.acks
    append_one: Callable[..., None] = append
    if request.transactional_id:
        append_one = _in_transaction(request.transactional_id, version)
    if acks == ACKS_NONE:
        _append_silently(broker, request, version, append_one)
        return
    refusal = _refusal(request)
    for batch, done in _asked(request, head, reserve()):
        if refusal is not None:
            broker.stats.errors[ApiKey.PRODUCE, refusal.code] += 1
            done(refusal)
            continue
        try:
            append_one(broker, batch, acks, done, zstd_allowed=version >= _ZSTD_VERSION)
        except RequestError as error:
            broker.stats.errors[ApiKey.PRODUCE, error.code] += 1
            done(error)


def _asked(
    request: ProduceRequest, head: RequestHead, answer: Answer
) -> Iterable[tuple[PartitionBatch, AppendDone]]:
    """Each batch and who is to hear what became of it."""
    batches = request.batches
    if len(batches) == 1:
        return ((batches[0], partial(_answer_one, request, head, answer)),)
    waiting = _Waiting(request, head, answer)
    if not batches:
        waiting.answer()
    return [(batch, partial(waiting.settle, place)) for place, batch in enumerate(batches)]


def _refusal(request: ProduceRequest) -> RequestError | None:
    """Why no batch of the request can be taken."""
    if request.acks not in (ACKS_ALL, ACKS_LEADER):
        return RequestError(
            ErrorCode.INVALID_REQUIRED_ACKS, f"acks is {request.acks}; 0, 1 and -1 (all) exist"
        )
    return None


def _in_transaction(transactional_id: str, version: int) -> Callable[..., None]:
    """`append` for a request with batches of a transaction."""
    told = ErrorCode.TRANSACTION_ABORTABLE
    if version < _ABORTABLE_VERSION:
        told = ErrorCode.INVALID_TXN_STATE
    transaction = InTransaction(transactional_id, version >= _ADDS_PARTITION_VERSION, told)
    return partial(append, transaction=transaction)


def _append_silently(
    broker: "Broker", request: ProduceRequest, version: int, append_one: Callable[..., None]
) -> None:
    for batch in request.batches:
        try:
            append_one(broker, batch, ACKS_NONE, None, zstd_allowed=version >= _ZSTD_VERSION)
        except RequestError as error:
            broker.stats.errors[ApiKey.PRODUCE, error.code] += 1
            raise RefusedWithoutAnswer(
                f"an acks=0 batch for partition {batch.partition} was refused: "
                f"{error.code.name}: {error.message[:MESSAGE_CHARS_MAX]}"
            ) from error
