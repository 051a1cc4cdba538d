"""The consumer's side: gathers batches, goes back after an abort, and lets go what is revoked.

The consumer's callbacks run inside `gather` and nowhere else, so partitions come and go only while
no transaction is open: one that is open is finished before its partitions go. A record whose
partition goes while its batch is being gathered leaves the batch; that is why records are taken one
by one, between which a rebalance can be seen. It is the same for eager and cooperative rebalances
and for `group.protocol=consumer`. A member that takes too long over a batch is put out by the group
and learns it from the offsets it may not commit.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from headrace.exactly_once.errors import Broken, Fenced, Stalled
from headrace.exactly_once.silence import End, Place, Silence

__all__ = ["Batch", "Inbox", "Partitions"]

Partitions = Callable[[Sequence[TopicPartition]], object]

IDLE_S: Final = 0.5
"""How long to wait for a first record: `stop` is heard this often."""
LOOK_S_MAX: Final = 5.0
"""For a broker to say where a partition ends."""
PASSING: Final = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
        # The member was too slow and is out; it joins again with its next poll.
        KafkaError._MAX_POLL_EXCEEDED,
    }
)
FENCING: Final = frozenset({KafkaError.FENCED_INSTANCE_ID, KafkaError.UNRELEASED_INSTANCE_ID})


class Batch:
    """Records of the partitions that the member has, each partition's in order from where the group
    stands."""

    def __init__(self) -> None:
        self.records: list[Message] = []

    def __len__(self) -> int:
        return len(self.records)

    def drop(self, gone: Iterable[Place]) -> None:
        gone = set(gone)
        self.records = [one for one in self.records if _place(one) not in gone]

    def ends(self) -> list[TopicPartition]:
        """Where the group stands after this batch."""
        last = {_place(one): _offset(one) for one in self.records}
        return [TopicPartition(*place, offset + 1) for place, offset in last.items()]

    def starts(self) -> list[TopicPartition]:
        first = {_place(one): _offset(one) for one in reversed(self.records)}
        return [TopicPartition(*place, offset) for place, offset in first.items()]


def _place(message: Message) -> Place:
    return cast("Place", (message.topic(), message.partition()))


def _offset(message: Message) -> int:
    return cast("int", message.offset())


def _is_fenced(error: KafkaError) -> bool:
    """A fatal error's code says only that it is fatal; its text tells the broker's."""
    return error.code() in FENCING or (
        error.code() == KafkaError._FATAL
        and any(KafkaError(code).str() in error.str() for code in FENCING)
    )


class Inbox:
    """Takes a `Consumer` over and subscribes it. Every method raises ExactlyOnceError."""

    def __init__(
        self,
        consumer: Consumer,
        topics: Sequence[str],
        stall_s_max: float,
        on_assigned: Partitions | None = None,
        on_revoked: Partitions | None = None,
    ) -> None:
        self._consumer = consumer
        self._topics = topics
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._batch = Batch()
        self._silence = Silence(stall_s_max, time.monotonic())
        consumer.subscribe(
            list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    def gather(self, records_max: int, seconds_max: float) -> Batch:
        """So many records, or those that come until so long after the first. Empty when none comes
        for IDLE_S.

        What was gathered before and not `committed` comes again first: whatever went wrong in
        between, an abort, a callback's exception or Ctrl-C, no record is passed over.
        """
        if self._batch:
            self._rewind(self._batch)
        self._batch = Batch()
        if self._fill(self._batch, records_max, seconds_max):
            self._look(time.monotonic())
        return self._batch

    def committed(self) -> None:
        """The last batch is done with."""
        self._batch = Batch()

    def _fill(self, batch: Batch, records_max: int, seconds_max: float) -> bool:
        """True if it ran dry: what has come but was not polled yet cannot be taken for stuck."""
        deadline = time.monotonic() + IDLE_S
        waits_for_first = True
        while len(batch) < records_max:
            message = self._consumer.poll(max(0.0, deadline - time.monotonic()))
            now = time.monotonic()
            if message is not None:
                self._take(message, now)
                if waits_for_first and batch:
                    waits_for_first, deadline = False, now + seconds_max
            if now >= deadline:
                return message is None
        return False

    def membership(self) -> Any:
        """What fences a member that the group has gone on without."""
        return self._consumer.consumer_group_metadata()

    def close(self) -> None:
        self._consumer.close()

    def _rewind(self, batch: Batch) -> None:
        """To where it begins, which is where the group stands."""
        owned = {(one.topic, one.partition) for one in self._consumer.assignment()}
        for start in batch.starts():
            if (start.topic, start.partition) not in owned:
                continue
            try:
                self._consumer.seek(start)
            except KafkaException as error:
                # Without it the batch would be passed over.
                raise Broken(f"cannot go back to {start}", error.args[0]) from error
            self._silence.reached((start.topic, start.partition), start.offset, time.monotonic())

    def _take(self, message: Message, now: float) -> None:
        error = message.error()
        if error is None:
            self._batch.records.append(message)
            self._silence.reached(_place(message), _offset(message) + 1, now)
        elif error.code() == KafkaError._PARTITION_EOF:
            self._silence.reached(_place(message), _offset(message), now)
        elif _is_fenced(error):
            raise Fenced("another member has this group.instance.id", error)
        elif error.fatal() or not (error.code() in PASSING or error.retriable()):
            raise Broken("cannot read", error)
        else:
            self._silence.trouble = error

    def _assigned(self, _: Consumer, given: list[TopicPartition]) -> None:
        self._silence.forget((one.topic, one.partition) for one in given)
        if self._on_assigned is not None:
            self._on_assigned(given)

    def _revoked(self, _: Consumer, gone: list[TopicPartition]) -> None:
        places = [(one.topic, one.partition) for one in gone]
        self._batch.drop(places)
        self._silence.forget(places)
        if self._on_revoked is not None:
            self._on_revoked(gone)

    def _look(self, now: float) -> None:
        """Now and then, see whether what is there also comes."""
        if not self._silence.is_due(now):
            return
        try:
            ends = self._ends()
        except KafkaException as error:
            self._silence.unanswered(now, error.args[0])
            return
        stuck = self._silence.looked(ends, now)
        if stuck is not None:
            raise Stalled(stuck, self._silence.trouble)

    def _ends(self) -> list[End]:
        """Where the silent partitions end (for read_committed). Raises KafkaException."""
        assigned = self._consumer.assignment()
        if not assigned:
            self._consumer.list_topics(self._topics[0], LOOK_S_MAX)
        ends = []
        for one in assigned:
            place = (one.topic, one.partition)
            if self._silence.is_silent(place):
                _, end = self._consumer.get_watermark_offsets(one, LOOK_S_MAX)
                ends.append(End(place, end))
        return ends
