"""What may be asked of groups: the requests of members, tools and the broker itself.

A connection that closes cancels the request that waits on it and nothing more: the member stays
until its session ends, so a client that reconnects goes on where it was. The same holds over a
restart: groups come back as they were, with their sessions started anew.

What must not enter: API versions, what a group may do, how a step is carried out
(`hosted_groups`).
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final
from uuid import UUID, uuid4

from headrace.broker.group_sweep import sweep, sweep_for_ever
from headrace.broker.hosted_group import GroupCatalog, HostedGroup, TopicPartition
from headrace.broker.hosted_groups import HostedGroups
from headrace.broker.stats import Rebalances, Stats
from headrace.groups import consumer, kinds
from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.consumer_requests import (
    JOIN,
    ConsumerHeartbeat,
    ConsumerHeartbeatAnswer,
    Weigh,
)
from headrace.groups.consumer_target import goes_by_weight, subscribed_topics
from headrace.groups.description import (
    ConsumerGroupDescription,
    GroupDescription,
    ShareGroupDescription,
    describe,
    describe_consumer,
    describe_share,
)
from headrace.groups.offsets import Committed
from headrace.groups.requests import (
    Commit,
    Delete,
    DeleteOffsets,
    EndPending,
    Heartbeat,
    HeartbeatAnswer,
    Join,
    JoinAnswer,
    Leave,
    LeaveAnswer,
    OffsetToCommit,
    Sync,
    SyncAnswer,
)
from headrace.groups.settings import GroupSettings
from headrace.groups.share_group import ShareGroup
from headrace.groups.share_requests import ShareHeartbeat, ShareHeartbeatAnswer
from headrace.groups.topics_image import NO_TOPICS, TopicsImage
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["GroupCoordinator"]

WeightsOf = Callable[
    [Iterable[str], Mapping[TopicPartition, Committed]], Mapping[tuple[UUID, int], float]
]
"""What the partitions of topics carry, for a group that committed so."""

_NOTHING: Final[Mapping[TopicPartition, Committed]] = MappingProxyType({})


def _steady_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class GroupCoordinator:
    """All groups of this broker. Methods raise RequestError where a whole request is refused; what
    a group says to a request is in the answer."""

    def __init__(
        self,
        catalog: GroupCatalog,
        settings: GroupSettings,
        now_ms: Callable[[], int],
        partition_exists: Callable[[str, int], bool],
        *,
        steady_ms: Callable[[], int] = _steady_ms,
        retention_ms: Callable[[], int] | None = None,
        is_durable: Callable[[str], bool] = lambda _: True,
        take_reset: Callable[[str], bool] = lambda _: False,
        settings_of: Callable[[str], GroupSettings] | None = None,
        topics: Callable[[], TopicsImage] = lambda: NO_TOPICS,
        weights: WeightsOf = lambda _topics, _committed: {},
        is_mine: Callable[[str], bool] = lambda _: True,
        stats: Stats | None = None,
    ) -> None:
        """`now_ms` is the calendar's time, for what is kept; `steady_ms` never jumps, and sessions
        are measured with it; what has expired is decided by `retention_ms` (default: `now_ms`).
        `is_durable` says of a group that begins whether it is kept at all, `take_reset` whether a
        commit from outside may fence a group's members, once. `settings_of` has what holds for a
        single group (default: `settings`). `topics` are those that exist, for groups that the
        broker assigns, and `weights` what their partitions carry. Groups that are not `is_mine`
        are another worker's, who is to be asked about them: NOT_COORDINATOR."""
        self.settings = settings
        self._stats = stats or Stats()
        self._retention_ms = retention_ms or now_ms
        self._partition_exists = partition_exists
        self._take_reset = take_reset
        self._topics = topics
        self._weights = weights
        self._is_mine = is_mine
        self._hosted = HostedGroups(
            catalog,
            settings,
            now_ms,
            steady_ms,
            is_durable,
            settings_of or (lambda _: settings),
            is_mine,
            self._stats,
        )
        self._sweeper: asyncio.Task[None] | None = None

    def when_forgotten(self, watcher: Callable[[str], None]) -> None:
        """Call `watcher` with the id of each group that somebody deleted, or that was not to be
        kept and whose last member left; it must not raise."""
        self._hosted.forgotten.append(watcher)

    def when_lapsed(self, watcher: Callable[[str, str], None]) -> None:
        """Call `watcher` with group and id of each member of a share group that was given up
        because it was silent; it must not raise. Who leaves has said what it did with its records,
        and may yet have to be heard."""
        self._hosted.lapsed.append(watcher)

    async def start(self) -> None:
        """Load every group; from then on requests are served and time passes.

        Raises CatalogError for a saved group that cannot be read, RequestError if the catalog
        cannot be.
        """
        await self._hosted.load()
        sweeping = sweep_for_ever(
            self._hosted, self._retention_ms, self.settings.offsets_retention_check_ms
        )
        self._sweeper = asyncio.create_task(sweeping, name="group sweeper")

    async def close(self) -> None:
        """Stop time, finish what is being written, send away everyone who waits. Idempotent."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        await self._hosted.close()

    # Members

    async def join(self, group_id: str, request: Join) -> JoinAnswer:
        """Waits until the next generation begins. `request` needs neither token nor fresh id."""
        self.check_mine(group_id)
        name = request.instance_id or request.client_id or "member"
        fresh_member_id = f"{name[: self.settings.client_id_length_max]}-{uuid4()}"
        request = replace(request, fresh_member_id=fresh_member_id, topics=self._topics())
        if request.member_id:
            hosted = self._hosted.find(group_id) or self._hosted.nobody(group_id)
        else:
            hosted = self._hosted.find_or_host(group_id)
        answer: JoinAnswer = await self._hosted.ask(hosted, request)
        return answer

    async def sync(self, group_id: str, request: Sync) -> SyncAnswer:
        """Waits until the leader has handed in the assignment."""
        self.check_mine(group_id)
        hosted = self._hosted.find(group_id) or self._hosted.nobody(group_id)
        request = replace(request, topics=self._topics())
        answer: SyncAnswer = await self._hosted.ask(hosted, request)
        return answer

    async def heartbeat(self, group_id: str, request: Heartbeat) -> HeartbeatAnswer:
        self.check_mine(group_id)
        hosted = self._hosted.find(group_id) or self._hosted.nobody(group_id)
        answer: HeartbeatAnswer = await self._hosted.ask(hosted, request)
        return answer

    async def leave(self, group_id: str, request: Leave) -> LeaveAnswer:
        self.check_mine(group_id)
        hosted = self._hosted.find(group_id) or self._hosted.nobody(group_id)
        answer: LeaveAnswer = await self._hosted.ask(hosted, request)
        return answer

    async def consumer_heartbeat(
        self, group_id: str, request: ConsumerHeartbeat
    ) -> ConsumerHeartbeatAnswer:
        """For next-generation members. `request` needs neither token nor topics."""
        self.check_mine(group_id)
        if request.member_epoch == JOIN:
            hosted = self._hosted.find_or_host(group_id)
        else:
            hosted = self._hosted.find(group_id) or self._hosted.nobody(group_id)
        request = replace(request, topics=self._topics())
        answer: ConsumerHeartbeatAnswer = await self._hosted.ask(hosted, request)
        group = hosted.group
        if request.member_epoch == JOIN and goes_by_weight(group) and group.weights is None:
            self.weigh(group_id, may_move=False)
        return answer

    async def share_heartbeat(self, group_id: str, request: ShareHeartbeat) -> ShareHeartbeatAnswer:
        """For members of share groups. `request` needs neither token nor topics. A group of
        another kind says GROUP_ID_NOT_FOUND, even while it is empty."""
        self.check_mine(group_id)
        if request.member_epoch == JOIN:
            hosted = self._hosted.find_or_host(group_id, ShareGroup)
        else:
            hosted = self._hosted.find(group_id) or self._hosted.nobody(group_id, ShareGroup)
        request = replace(request, topics=self._topics())
        answer: ShareHeartbeatAnswer = await self._hosted.ask(hosted, request)
        return answer

    def weigh(self, group_id: str, *, may_move: bool) -> None:
        """Tell the group what its partitions carry now, if it is assigned by that."""
        hosted = self._hosted.find(group_id)
        if hosted is not None and goes_by_weight(hosted.group):
            weights = self._weights(subscribed_topics(hosted.group), hosted.offsets)
            self._hosted.take(hosted, Weigh(weights, may_move))

    # Offsets

    async def commit(
        self,
        group_id: str,
        request: Commit,
        *,
        missing_group: ErrorCode = ErrorCode.ILLEGAL_GENERATION,
    ) -> list[ErrorCode]:
        """One code for each of the request's offsets, in order, when those that are good are
        durable. A member of a group that does not exist gets `missing_group`."""
        self.check_mine(group_id, may_be_empty=True)
        errors = [self._offset_error(offset) for offset in request.offsets]
        good = tuple(
            offset for offset, error in zip(request.offsets, errors, strict=True) if not error
        )
        if not good:
            return errors
        hosted = self._hosted.find(group_id)
        if hosted is None and request.generation >= 0:
            code = missing_group
        else:
            hosted = hosted or self._hosted.find_or_host(group_id)
            is_outside = request.generation < 0 and not request.member_id
            is_outside = is_outside and request.producer_id < 0
            if is_outside and hosted.group.members and self._take_reset(group_id):
                request = replace(request, fences_members=True)
            code = (await self._hosted.ask(hosted, replace(request, offsets=good))).error
            if not code:
                self._stats.offsets_committed += len(good)
        return [error or code for error in errors]

    def _offset_error(self, offset: OffsetToCommit) -> ErrorCode:
        if not self._partition_exists(offset.topic, offset.partition):
            return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        if len(offset.metadata.encode()) > self.settings.offset_metadata_bytes_max:
            return ErrorCode.OFFSET_METADATA_TOO_LARGE
        return ErrorCode.NONE

    def offsets(self, group_id: str) -> Mapping[TopicPartition, Committed]:
        """What the group has durably committed; nothing for a group that does not exist."""
        self.check_mine(group_id, may_be_empty=True)
        hosted = self._hosted.find(group_id)
        return _NOTHING if hosted is None else MappingProxyType(hosted.offsets)

    def pending(self, group_id: str) -> Collection[TopicPartition]:
        """Partitions whose offsets a transaction may still change."""
        hosted = self._hosted.find(group_id)
        if hosted is None or not hosted.pending:
            return ()
        return {pair for pending in hosted.pending.values() for pair in pending}

    def pending_producers(self) -> list[tuple[int, str]]:
        """Producer and group of every transaction that offsets wait for."""
        return [(who, hosted.group.group_id) for hosted in self._hosted for who in hosted.pending]

    async def end_transaction(self, group_id: str, producer_id: int, *, commit: bool) -> None:
        """What the producer's transaction commits for the group counts from now on, durably, or is
        forgotten. Doing it again changes nothing. Raises RequestError COORDINATOR_NOT_AVAILABLE,
        NOT_COORDINATOR."""
        self.check_mine(group_id, may_be_empty=True)
        hosted = self._hosted.find(group_id)
        if hosted is None and self._hosted.exists(group_id):  # its deletion may still fail
            code = ErrorCode.COORDINATOR_NOT_AVAILABLE
            raise RequestError(code, f"group {group_id!r} is being deleted")
        if hosted is not None and (producer_id in hosted.pending or hosted.is_writing):
            await self._hosted.ask(hosted, EndPending(producer_id, commit))

    async def delete_offsets(
        self, group_id: str, partitions: Iterable[TopicPartition]
    ) -> list[ErrorCode]:
        """One code for each partition, in order, when the offsets are durably forgotten.

        Raises RequestError: GROUP_ID_NOT_FOUND (also for a share group, which has no offsets),
        NON_EMPTY_GROUP (members that are no consumers), COORDINATOR_NOT_AVAILABLE.
        """
        hosted = self._find_known(group_id)
        asked = [(pair, self._partition_exists(*pair)) for pair in partitions]
        known = tuple(pair for pair, exists in asked if exists)
        answer = await self._hosted.ask(hosted, DeleteOffsets(known))
        if answer.error:
            raise RequestError(answer.error, f"group {group_id!r} cannot forget single offsets")
        errors = iter(answer.errors)
        return [
            next(errors) if exists else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION for _, exists in asked
        ]

    def check_reader(self, group_id: str, member_id: str | None, epoch: int) -> ErrorCode:
        """Whether a member that asks for offsets with its epoch (v9+) is where it thinks it is.
        Who names neither may look at everything."""
        hosted = self._hosted.find(group_id)
        if hosted is None or not isinstance(hosted.group, ConsumerGroup):
            return ErrorCode.NONE
        if not member_id and epoch < 0:
            return ErrorCode.NONE
        return consumer.check_epoch(hosted.group, member_id or "", epoch)

    def forget_topic(self, topic: str, *, again: bool = False) -> None:
        """After a topic was deleted, and with it what the catalog has of its offsets; `again`: it
        may have got some since."""
        for hosted in self._hosted:
            late = hosted.forget_topic(topic, again=again)
            if late:
                self._hosted.carry_out(hosted, kinds.forget_offsets(hosted.group, late))

    # Groups

    def list(self) -> Iterable[GroupDescription]:
        """Every group, by id."""
        for group_id in self._hosted.ids():
            hosted = self._hosted.find(group_id)
            if hosted is not None:
                yield describe(hosted.group)

    def ids(self) -> Iterable[str]:
        return self._hosted.ids()

    def exists(self, group_id: str) -> bool:
        """Whether there is such a group, be it on its way out."""
        return self._hosted.exists(group_id)

    def describe(self, group_id: str) -> GroupDescription | None:
        """None if there is no such group."""
        self.check_mine(group_id, may_be_empty=True)
        hosted = self._hosted.find(group_id)
        return None if hosted is None else describe(hosted.group)

    def describe_consumer(self, group_id: str) -> ConsumerGroupDescription | None:
        """None if there is no next-generation group of this id."""
        self.check_mine(group_id, may_be_empty=True)
        hosted = self._hosted.find(group_id)
        if hosted is None or not isinstance(hosted.group, ConsumerGroup):
            return None
        return describe_consumer(hosted.group)

    def describe_share(self, group_id: str) -> ShareGroupDescription | None:
        """None if there is no share group of this id."""
        self.check_mine(group_id, may_be_empty=True)
        hosted = self._hosted.find(group_id)
        if hosted is None or not isinstance(hosted.group, ShareGroup):
            return None
        return describe_share(hosted.group)

    def settings_of(self, group_id: str) -> GroupSettings:
        """Those of the group, or of the broker if there is no such group."""
        hosted = self._hosted.find(group_id)
        return self.settings if hosted is None else hosted.group.settings

    def settings_changed(self, group_id: str) -> None:
        """Tell the group, if it is there, that `settings_of` says otherwise now."""
        self._hosted.settings_changed(group_id)

    def rebalances(self, group_id: str) -> Rebalances:
        """Those that ended since the broker started, or since the group was there."""
        hosted = self._hosted.find(group_id)
        return Rebalances() if hosted is None else hosted.rebalances

    async def delete(self, group_id: str) -> None:
        """Delete the group and its offsets, or how far it has shared what, durably.

        Raises RequestError: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, COORDINATOR_NOT_AVAILABLE.
        """
        answer = await self._hosted.ask(self._find_known(group_id), Delete())
        if answer.error:
            raise RequestError(answer.error, f"group {group_id!r} has members")
        for watcher in self._hosted.forgotten:
            watcher(group_id)

    def check_group_id(self, group_id: str, *, may_be_empty: bool = False) -> None:
        """Whether this may be a group, of whatever worker. Raises RequestError INVALID_GROUP_ID.

        The empty id is one that old consumers without a
        group commit under; it can be looked at and deleted, and have no members."""
        longest = self.settings.group_id_length_max
        if len(group_id) > longest or not (group_id or may_be_empty):
            raise RequestError(
                ErrorCode.INVALID_GROUP_ID, f"a group id has 1 to {longest} characters"
            )

    def check_mine(self, group_id: str, *, may_be_empty: bool = False) -> None:
        """Raises RequestError: INVALID_GROUP_ID, NOT_COORDINATOR."""
        self.check_group_id(group_id, may_be_empty=may_be_empty)
        if not self._is_mine(group_id):
            raise RequestError(
                ErrorCode.NOT_COORDINATOR, "another worker of this cluster coordinates the group"
            )

    async def sweep(self) -> None:
        """Forget offsets that have expired, and groups of which nothing is left."""
        await sweep(self._hosted, self._retention_ms)

    def _find_known(self, group_id: str) -> HostedGroup:
        """Raises RequestError GROUP_ID_NOT_FOUND."""
        self.check_mine(group_id, may_be_empty=True)
        hosted = self._hosted.find(group_id)
        if hosted is None:
            raise RequestError(ErrorCode.GROUP_ID_NOT_FOUND, f"there is no group {group_id!r}")
        return hosted
