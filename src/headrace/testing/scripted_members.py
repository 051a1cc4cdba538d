"""Group members that do what Kafka consumers do with the answers they get, without sockets or time:
one of the classic protocol, eager or cooperative, and one of the next-generation protocol.

Partitions that a member was told to give up it holds until `revoke` is called: its owner's code may
take its time. What must not enter: the group, promises.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from headrace.groups.assignment import assigned_partitions, packed_assignment
from headrace.groups.classic_in_consumer import by_id
from headrace.groups.consumer_requests import (
    JOIN,
    LEAVE,
    LEAVE_FOR_A_WHILE,
    ConsumerHeartbeat,
    ConsumerHeartbeatAnswer,
)
from headrace.groups.embedded import TopicIndex
from headrace.groups.requests import (
    Commit,
    CommitAnswer,
    Heartbeat,
    Join,
    JoinAnswer,
    JoinedMember,
    Leave,
    Leaving,
    OffsetToCommit,
    Request,
    Sync,
    SyncAnswer,
)
from headrace.groups.subscription import subscription_of
from headrace.groups.topics_image import TopicPartition, TopicsImage
from headrace.testing.scripted_coordinator import packed_subscription
from headrace.wire.errors import ErrorCode

__all__ = ["ClassicMember", "NextMember"]

SESSION_MS: Final = 10_000
REBALANCE_MS: Final = 15_000

NOTHING: Final[frozenset[TopicPartition]] = frozenset()


@dataclass(eq=False)
class _Reader:
    """What both have: partitions, and how far they are read."""

    instance: str | None
    member_id: str = ""
    generation: int = 0
    holds: frozenset[TopicPartition] = NOTHING
    told: frozenset[TopicPartition] = NOTHING
    waits_for: int | None = None
    """The token of the request under way."""
    is_alive: bool = True
    read: dict[TopicPartition, int] = field(default_factory=dict)

    @property
    def is_settled(self) -> bool:
        """It has what it was told, and no more to do than to heartbeat."""
        return self.waits_for is None and self.holds == self.told

    def begin(self, committed: dict[TopicPartition, int]) -> None:
        """Go on, in what it has just been given, from the committed offsets."""
        for partition in self.holds - self.read.keys():
            self.read[partition] = committed.get(partition, 0)
        for partition in self.read.keys() - self.holds:
            del self.read[partition]

    def commit(self, topics: TopicsImage) -> Commit:
        """Read one record of each partition, and commit; the metadata is the topic's id."""
        for partition in self.holds:
            self.read[partition] += 1
        known = topics.by_id
        offsets = tuple(
            OffsetToCommit(
                known[topic].name if topic in known else "gone",
                index,
                self.read[topic, index],
                -1,
                topic.hex,
            )
            for topic, index in self.holds
        )
        return Commit(offsets, self.member_id, self.generation)


@dataclass(eq=False)
class NextMember(_Reader):
    assignor: str = "uniform"
    pattern: str = ""
    names: frozenset[str] = frozenset({"a", "b"})
    """If it has no pattern."""
    reported: frozenset[TopicPartition] | None = None
    """None: the next heartbeat says everything."""

    def next_request(self, topics: TopicsImage) -> ConsumerHeartbeat:
        full = self.generation == JOIN or self.reported is None
        owned = self.holds if full or self.holds != self.reported else None
        self.reported = self.holds
        return ConsumerHeartbeat(
            member_id=self.member_id,
            member_epoch=self.generation,
            instance_id=self.instance,
            rebalance_timeout_ms=REBALANCE_MS if full else -1,
            names=(frozenset() if self.pattern else self.names) if full else None,
            pattern=self.pattern if full else None,
            assignor=self.assignor if full else None,
            owned=owned,
            topics=topics,
        )

    def take(self, answer: Any, topics: TopicsImage) -> None:
        if not isinstance(answer, ConsumerHeartbeatAnswer):
            return
        if answer.error in (ErrorCode.FENCED_MEMBER_EPOCH, ErrorCode.UNKNOWN_MEMBER_ID):
            self.holds = self.told = NOTHING
            self.generation, self.reported = JOIN, None
        elif answer.error in (ErrorCode.FENCED_INSTANCE_ID, ErrorCode.UNRELEASED_INSTANCE_ID):
            self.is_alive = False
        elif answer.error:
            raise AssertionError(answer)
        else:
            if answer.member_epoch < self.generation:
                raise AssertionError("an epoch went back")
            self.generation = answer.member_epoch
            if answer.assignment is not None:
                self.told = answer.assignment
                self.holds |= self.told

    def revoke(self) -> None:
        """Finish what the last answer asked for."""
        self.holds &= self.told

    def lose_the_answer(self) -> None:
        self.waits_for = self.reported = None

    def leave(self, *, for_a_while: bool) -> Request | None:
        if self.generation == JOIN:
            return None
        epoch = LEAVE_FOR_A_WHILE if for_a_while and self.instance is not None else LEAVE
        return ConsumerHeartbeat(self.member_id, epoch, self.instance)


@dataclass(eq=False)
class ClassicMember(_Reader):
    is_cooperative: bool = True
    must_join: bool = True
    _joined: JoinAnswer | None = None
    """A SyncGroup follows."""

    @property
    def is_settled(self) -> bool:
        return super().is_settled and not self.must_join and self._joined is None

    def next_request(self, topics: TopicsImage) -> Request:
        if self._joined is not None:
            answer, self._joined = self._joined, None
            leads = answer.leader == answer.member_id and not answer.skip_assignment
            given = _assign(answer.members, topics, withholds=self.is_cooperative) if leads else {}
            assignments = tuple((who, packed_assignment(what, 3)) for who, what in given.items())
            return Sync(self.member_id, self.generation, assignments, self.instance, topics=topics)
        if not self.must_join:
            return Heartbeat(self.member_id, self.generation, self.instance)
        if not self.is_cooperative:
            self.holds = self.told = NOTHING
        names = frozenset((topics.by_id[topic].name, index) for topic, index in self.holds)
        metadata = packed_subscription(topics.by_name, names, self.generation)
        return Join(
            member_id=self.member_id,
            protocol_type="consumer",
            protocols=(("sticky" if self.is_cooperative else "range", metadata),),
            session_timeout_ms=SESSION_MS,
            rebalance_timeout_ms=REBALANCE_MS,
            instance_id=self.instance,
            topics=topics,
        )

    def take(self, answer: Any, topics: TopicsImage) -> None:
        if isinstance(answer, CommitAnswer):
            return
        if answer.error is ErrorCode.FENCED_INSTANCE_ID:
            self.is_alive = False
        elif answer.error is ErrorCode.UNKNOWN_MEMBER_ID:
            self.member_id = ""
            self._lose_everything()
        elif answer.error is ErrorCode.ILLEGAL_GENERATION:
            self._lose_everything()
        elif answer.error is ErrorCode.MEMBER_ID_REQUIRED:
            self.member_id = answer.member_id
        elif answer.error is ErrorCode.REBALANCE_IN_PROGRESS:
            self.must_join = True
        elif answer.error:
            raise AssertionError(answer)
        elif isinstance(answer, JoinAnswer):
            self.member_id, self.generation = answer.member_id, answer.generation
            self._joined, self.must_join = answer, False
        elif isinstance(answer, SyncAnswer):
            given = assigned_partitions(answer.assignment)
            if given is None:
                raise AssertionError(answer)
            self.told = by_id(given, topics)
            self.holds |= self.told

    def revoke(self) -> None:
        if self.holds - self.told:
            self.holds &= self.told
            self.must_join = self.must_join or self._joined is None

    def lose_the_answer(self) -> None:
        self.waits_for = self._joined = None
        self.must_join = True

    def leave(self, *, for_a_while: bool) -> Request | None:
        """Static members go without a word."""
        if not self.member_id or self.instance is not None:
            return None
        return Leave((Leaving(self.member_id, None),))

    def _lose_everything(self) -> None:
        self.holds = self.told = NOTHING
        self.generation = -1
        self._joined, self.must_join = None, True


def _assign(
    members: Iterable[JoinedMember], topics: TopicsImage, *, withholds: bool
) -> dict[str, frozenset[TopicIndex]]:
    """As many for everyone, and as few moves as that allows. A cooperative assignor `withholds`
    what somebody else has first to give up."""
    read = [(member.member_id, subscription_of(member.metadata)) for member in members]
    told = {name: subscription for name, subscription in read if subscription is not None}
    owners: dict[TopicIndex, str] = {}
    for name in sorted(told, key=lambda who: -told[who].generation):
        for partition in told[name].owned:
            owners.setdefault(partition, name)
    everything = [
        (topic.name, index)
        for topic in topics.by_name.values()
        for index in range(topic.partitions)
    ]
    most = -(-len(everything) // len(told))
    given: dict[str, set[TopicIndex]] = {name: set() for name in told}
    free = []
    for partition in everything:
        owner = owners.get(partition)
        if owner is not None and len(given[owner]) < most:
            given[owner].add(partition)
        else:
            free.append(partition)
    for partition in free:
        least = min(given, key=lambda who: len(given[who]))
        given[least].add(partition)
    if withholds:
        for name, mine in given.items():
            mine -= {one for one in mine if owners.get(one, name) != name}
    return {name: frozenset(mine) for name, mine in given.items()}
