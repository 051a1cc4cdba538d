"""Appends to one partition of another worker: in the order of calls, each known for what it was.

A batch is kept until its answer is there. When the link breaks nobody knows which of the
unanswered ones were written, so on the next link the owner is asked for the last sequence that it
has of each producer. What it has is not sent again, but for the last batch of it: the log knows
that one by its sequence, writes nothing, and answers when it is durable, and with it all before.
What it does not have is sent, in order. A log remembers a few batches of a producer only, so
sending everything again would be taken for a gap.

Batches without a producer are sent again too: dead letters and the like are at least once.

A batch that was to follow another says so: a log lets a producer that it does not know begin
anywhere, and if the first batch was refused the second must not be written.

When the owner does not answer for PATIENCE_S, all that is unanswered is given up, as of unknown
outcome; what the owner has not taken up by then it never will.

What must not enter: how bytes get there (`links`), who the owner is.
"""

import asyncio
import itertools
import struct
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final
from uuid import UUID

from headrace.links.errors import LinkDown, LinkLost
from headrace.links.link import REQUESTS_MAX, Link
from headrace.log.contract import ACKS_ALL, ACKS_LEADER, ACKS_NONE, AppendDone, Appended
from headrace.wire.errors import ErrorCode, MalformedError, RequestError
from headrace.wire.workers import (
    Ask,
    LastSequences,
    ProducersAsked,
    append_head,
    pack,
    read_appended,
    unpack,
)

__all__ = ["APPENDS_BYTES_MAX", "PATIENCE_S", "RemoteAppends", "Room"]

PATIENCE_S: Final = 30.0
"""How long a batch waits for its answer, also while its owner is down."""
APPENDS_BYTES_MAX: Final = 320 << 20
"""Of batches without an answer, of all partitions together: what ingest streams may have in flight
(`streams.contract.IN_FLIGHT_BYTES_MAX`), and something for everybody else."""
APPENDS_MAX: Final = REQUESTS_MAX // 2
"""The same, counted: fewer than a link takes, or one that it does not take would be overtaken by
the next."""

_SEQUENCE_MASK: Final = 0x7FFF_FFFF
_DELTA: Final = struct.Struct(">i")
_DELTA_AT: Final = 23
_PRODUCER: Final = struct.Struct(">qhi")
_PRODUCER_AT: Final = 43
_NO_PRODUCER: Final = -1


class Room:
    """How much all of a process's batches without an answer may take."""

    def __init__(self, bytes_max: int = APPENDS_BYTES_MAX, count_max: int = APPENDS_MAX) -> None:
        self.bytes_left = bytes_max
        self.count_left = count_max


class _Append:
    """One batch on its way."""

    __slots__ = (
        "acks",
        "batch",
        "before",
        "began_s",
        "done",
        "follows",
        "is_sent",
        "last_sequence",
        "producer_id",
    )

    def __init__(
        self, batch: memoryview, acks: int, done: AppendDone | None, began_s: float
    ) -> None:
        self.batch = batch
        self.acks = acks
        self.done = done
        self.began_s = began_s
        self.producer_id, _, first = _PRODUCER.unpack_from(batch, _PRODUCER_AT)
        (delta,) = _DELTA.unpack_from(batch, _DELTA_AT)
        self.last_sequence = (first + delta) & _SEQUENCE_MASK
        self.follows = False
        self.is_sent = False
        """It may be in the log."""
        self.before: list[_Append] = []
        """Written, and durable when this one is."""


class RemoteAppends:
    """On the loop's thread. `drained` is called whenever nothing is unanswered any more."""

    def __init__(
        self,
        link: Link,
        topic_id: UUID,
        partition: int,
        room: Room,
        drained: Callable[[], None],
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._link = link
        self._topic_id = topic_id
        self._partition = partition
        self._room = room
        self._drained = drained
        self._patience_s = patience_s
        self._numbers = itertools.count()
        self._unanswered: dict[int, _Append] = {}
        """By number, in order."""
        self._of_producer: Counter[int] = Counter()
        self._is_settling = False
        """What the owner has of what was sent is not known yet: nothing is sent meanwhile."""
        self._timer: asyncio.TimerHandle | None = None

    def append(self, batch: memoryview, acks: int, done: AppendDone | None) -> None:
        """As `PartitionLog.append`, but `batch` is kept, unchanged, until it is answered. `done`
        may hear of NOT_LEADER_OR_FOLLOWER: nobody knows whether the batch was written.

        Raises RequestError NOT_LEADER_OR_FOLLOWER when too much waits; it was not written.
        """
        if len(batch) > self._room.bytes_left or not self._room.count_left:
            raise RequestError(
                ErrorCode.NOT_LEADER_OR_FOLLOWER,
                f"worker {self._link.peer} is behind with what it was given to write",
            )
        self._room.bytes_left -= len(batch)
        self._room.count_left -= 1
        loop = asyncio.get_running_loop()
        one = _Append(batch, acks, done, loop.time())
        if one.producer_id != _NO_PRODUCER:
            one.follows = self._of_producer[one.producer_id] > 0
            self._of_producer[one.producer_id] += 1
        number = next(self._numbers)
        self._unanswered[number] = one
        if self._timer is None:
            self._timer = loop.call_later(self._patience_s, self._lose_patience)
        if not self._is_settling:
            self._send(number, one)

    def linked(self) -> None:
        """The link is up again, and what was sent on the former one and not taken up is void."""
        producers = {
            one.producer_id
            for one in self._unanswered.values()
            if one.is_sent and one.producer_id != _NO_PRODUCER
        }
        if not producers:
            self._send_all()
            return
        self._is_settling = True
        asked = ProducersAsked(self._topic_id, self._partition, sorted(producers))
        try:
            self._link.send(Ask.LAST_SEQUENCES, [pack(asked)], self._settled)
        except LinkDown:
            """The next link begins with this again."""

    def give_up(self, error: RequestError) -> None:
        """Tell everyone who waits, and forget what was to be written."""
        for number in list(self._unanswered):
            self._finish(number, error)

    # Sending

    def _send(self, number: int, one: _Append) -> None:
        acks = ACKS_LEADER if one.acks == ACKS_NONE else one.acks  # every one is answered
        acks = ACKS_ALL if one.before else acks
        head = append_head(self._topic_id, self._partition, acks, follows=one.follows)
        try:
            self._link.send(Ask.APPEND, [head, one.batch], partial(self._answered, number))
        except LinkDown:
            return  # `linked` will be called
        except ValueError as error:
            refusal = RequestError(ErrorCode.MESSAGE_TOO_LARGE, str(error))
            asyncio.get_running_loop().call_soon(self._finish, number, refusal)
            return
        one.is_sent = True

    def _send_all(self) -> None:
        self._is_settling = False
        for number, one in list(self._unanswered.items()):
            self._send(number, one)

    def _settled(self, outcome: bytes | RequestError) -> None:
        if isinstance(outcome, LinkLost):
            return  # the next link begins with this again
        try:
            if isinstance(outcome, RequestError):
                raise outcome
            known = {
                last.producer_id: last.sequence for last in unpack(LastSequences, outcome).known
            }
        except RequestError as error:
            self._is_settling = False
            self.give_up(error)
            return
        for producer_id, sequence in known.items():
            self._is_written(producer_id, sequence)
        self._send_all()

    def _is_written(self, producer_id: int, sequence: int) -> None:
        """The producer's batches up to the one that ends with `sequence` are in the log."""
        sent = [
            (number, one)
            for number, one in self._unanswered.items()
            if one.producer_id == producer_id and one.is_sent
        ]
        for place, (_, last) in enumerate(sent):
            if last.last_sequence == sequence:
                for number, one in sent[:place]:
                    del self._unanswered[number]
                    last.before += [*one.before, one]
                    one.before = []
                return

    # Answers

    def _answered(self, number: int, outcome: bytes | RequestError) -> None:
        if isinstance(outcome, LinkLost):
            return  # `linked` will be called
        if isinstance(outcome, RequestError):
            self._finish(number, outcome)
            return
        try:
            self._finish(number, Appended._make(read_appended(outcome)))
        except MalformedError as error:
            self._finish(number, RequestError(ErrorCode.UNKNOWN_SERVER_ERROR, str(error)))

    def _finish(self, number: int, outcome: Appended | RequestError) -> None:
        one = self._unanswered.pop(number, None)
        if one is None:
            return
        earlier: Appended | RequestError = outcome
        if isinstance(outcome, Appended):  # of those it is known that they were written, not where
            earlier = Appended(-1, -1, -1, outcome.log_start_offset, True)
        for before in one.before:
            self._tell(before, earlier)
        self._tell(one, outcome)
        if not self._unanswered:
            self._is_settling = False
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._drained()

    def _tell(self, one: _Append, outcome: Appended | RequestError) -> None:
        self._room.bytes_left += len(one.batch)
        self._room.count_left += 1
        if one.producer_id != _NO_PRODUCER:
            self._of_producer[one.producer_id] -= 1
            if not self._of_producer[one.producer_id]:
                del self._of_producer[one.producer_id]
        if one.done is not None:
            one.done(outcome)

    def _lose_patience(self) -> None:
        self._timer = None
        if not self._unanswered:
            return
        loop = asyncio.get_running_loop()
        oldest = next(iter(self._unanswered.values()))
        left_s = oldest.began_s + self._patience_s - loop.time()
        if left_s > 0:
            self._timer = loop.call_later(left_s, self._lose_patience)
            return
        self._link.reset("it is too slow")  # so that nothing of this is written later
        self.give_up(
            RequestError(
                ErrorCode.NOT_LEADER_OR_FOLLOWER,
                f"worker {self._link.peer} has not answered for {self._patience_s:g} s; "
                "what it was given may be written or not",
            )
        )
