"""Where groups meet clients, clock and catalog.

A request becomes one step of its group's automaton (`headrace.groups`); one that is not answered
by its own step waits on a future, under a token that the automaton gives back with the answer.
What a step changed is durable before anything that followed from it is told (`hosted_group`).

A connection that closes cancels the request that waits on it and nothing more: the member stays
until its session ends, so a client that reconnects goes on where it was. The same holds over a
restart: groups come back as they were, with their sessions started anew.

What must not enter: API versions, what a group may do.
"""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

from headrace.broker.alarm import Alarm
from headrace.broker.ephemeral import IN_MEMORY
from headrace.broker.group_rows import record_of
from headrace.broker.hosted_group import GroupCatalog, HostedGroup, TopicPartition
from headrace.broker.stats import Rebalances, Stats
from headrace.groups import consumer, kinds
from headrace.groups.changes import Step
from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.consumer_requests import JOIN, ConsumerHeartbeat, ConsumerHeartbeatAnswer
from headrace.groups.description import (
    ConsumerGroupDescription,
    GroupDescription,
    describe,
    describe_consumer,
)
from headrace.groups.group import Group
from headrace.groups.kinds import AnyGroup
from headrace.groups.offsets import Committed, expired, is_left_over
from headrace.groups.requests import (
    Answer,
    Commit,
    Delete,
    DeleteOffsets,
    Heartbeat,
    HeartbeatAnswer,
    Join,
    JoinAnswer,
    Leave,
    LeaveAnswer,
    OffsetToCommit,
    Request,
    Sync,
    SyncAnswer,
    Token,
)
from headrace.groups.settings import GroupSettings
from headrace.groups.states import State
from headrace.groups.topics_image import NO_TOPICS, TopicsImage
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["GroupCoordinator"]

log = logging.getLogger("headrace.groups")

GROUPS_PER_TURN_MAX: Final = 64
"""Groups looked at by the sweep before the event loop gets its turn."""

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
        topics: Callable[[], TopicsImage] = lambda: NO_TOPICS,
        stats: Stats | None = None,
    ) -> None:
        """`now_ms` is the calendar's time, for what is kept; `steady_ms` never jumps, and sessions
        are measured with it; what has expired is decided by `retention_ms` (default: `now_ms`).
        `is_durable` says of a group that begins whether it is kept at all, `take_reset` whether a
        commit from outside may fence a group's members, once. `topics` are those that exist, for
        groups that the broker assigns."""
        self.settings = settings
        self._stats = stats or Stats()
        self._catalog = catalog
        self._now_ms = now_ms
        self._steady_ms = steady_ms
        self._retention_ms = retention_ms or now_ms
        self._partition_exists = partition_exists
        self._is_durable = is_durable
        self._take_reset = take_reset
        self._topics = topics
        self._groups: dict[str, HostedGroup] = {}
        self._parked: dict[Token, asyncio.Future[Any]] = {}
        self._tokens = itertools.count(1)
        self._alarm = Alarm(steady_ms, self._tick)
        self._sweeper: asyncio.Task[None] | None = None
        self._is_closed = False

    async def start(self) -> None:
        """Load every group; from then on requests are served and time passes.

        Raises CatalogError for a saved group that cannot be read, RequestError if the catalog
        cannot be.
        """
        now_ms = self._steady_ms()
        for row in await self._catalog.groups.load_all():
            hosted = self._host(kinds.restore(record_of(row), self.settings, now_ms))
            hosted.emptied_ms = row.emptied_ms
        for group_id, topic, partition, *what in await self._catalog.offsets.load_all():
            loaded = self._groups.get(group_id) or self._host(Group(group_id, self.settings))
            loaded.offsets[topic, partition] = Committed._make(what)
        for hosted in self._groups.values():
            self._alarm.set(hosted.group.group_id, hosted.group.next_deadline_ms)
        self._sweeper = asyncio.create_task(self._sweep_for_ever(), name="group sweeper")

    async def close(self) -> None:
        """Stop time, finish what is being written, send away everyone who waits. Idempotent."""
        self._is_closed = True
        self._alarm.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        await asyncio.gather(*(hosted.settled() for hosted in list(self._groups.values())))
        for token in list(self._parked):
            self._respond(token, _stopping())

    # Members

    async def join(self, group_id: str, request: Join) -> JoinAnswer:
        """Waits until the next generation begins. `request` needs neither token nor fresh id."""
        self.check_group_id(group_id)
        name = request.instance_id or request.client_id or "member"
        fresh_member_id = f"{name[: self.settings.client_id_length_max]}-{uuid4()}"
        request = replace(request, fresh_member_id=fresh_member_id)
        if request.member_id:
            hosted = self._find(group_id) or self._nobody(group_id)
        else:
            hosted = self._find_or_host(group_id)
        if isinstance(hosted.group, ConsumerGroup):
            hosted.become(kinds.as_classic(hosted.group) or hosted.group)
        answer: JoinAnswer = await self._ask(hosted, request)
        return answer

    async def sync(self, group_id: str, request: Sync) -> SyncAnswer:
        """Waits until the leader has handed in the assignment."""
        self.check_group_id(group_id)
        hosted = self._find(group_id) or self._nobody(group_id)
        answer: SyncAnswer = await self._ask(hosted, request)
        return answer

    async def heartbeat(self, group_id: str, request: Heartbeat) -> HeartbeatAnswer:
        self.check_group_id(group_id)
        hosted = self._find(group_id) or self._nobody(group_id)
        answer: HeartbeatAnswer = await self._ask(hosted, request)
        return answer

    async def leave(self, group_id: str, request: Leave) -> LeaveAnswer:
        self.check_group_id(group_id)
        hosted = self._find(group_id) or self._nobody(group_id)
        answer: LeaveAnswer = await self._ask(hosted, request)
        return answer

    async def consumer_heartbeat(
        self, group_id: str, request: ConsumerHeartbeat
    ) -> ConsumerHeartbeatAnswer:
        """For next-generation members. `request` needs neither token nor topics.

        Raises RequestError GROUP_ID_NOT_FOUND while the group has members of the classic kind.
        """
        self.check_group_id(group_id)
        if request.member_epoch == JOIN:
            hosted = self._find_or_host(group_id)
        else:
            hosted = self._find(group_id) or self._nobody(group_id)
        if isinstance(hosted.group, Group):
            group = kinds.as_consumer(hosted.group)
            if group is None:
                raise RequestError(
                    ErrorCode.GROUP_ID_NOT_FOUND,
                    f"group {group_id!r} has members of the classic protocol; "
                    "once they have left it can be used with the consumer protocol",
                )
            hosted.become(group)
        request = replace(request, topics=self._topics())
        answer: ConsumerHeartbeatAnswer = await self._ask(hosted, request)
        return answer

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
        self.check_group_id(group_id, may_be_empty=True)
        errors = [self._offset_error(offset) for offset in request.offsets]
        good = tuple(
            offset for offset, error in zip(request.offsets, errors, strict=True) if not error
        )
        if not good:
            return errors
        hosted = self._find(group_id)
        if hosted is None and request.generation >= 0:
            code = missing_group
        else:
            hosted = hosted or self._find_or_host(group_id)
            is_outside = request.generation < 0 and not request.member_id
            if is_outside and hosted.group.members and self._take_reset(group_id):
                request = replace(request, fences_members=True)
            code = (await self._ask(hosted, replace(request, offsets=good))).error
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
        self.check_group_id(group_id, may_be_empty=True)
        hosted = self._find(group_id)
        return _NOTHING if hosted is None else MappingProxyType(hosted.offsets)

    async def delete_offsets(
        self, group_id: str, partitions: Iterable[TopicPartition]
    ) -> list[ErrorCode]:
        """One code for each partition, in order, when the offsets are durably forgotten.

        Raises RequestError: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP (members that are no consumers),
        COORDINATOR_NOT_AVAILABLE.
        """
        hosted = self._find_known(group_id)
        asked = [(pair, self._partition_exists(*pair)) for pair in partitions]
        known = tuple(pair for pair, exists in asked if exists)
        answer = await self._ask(hosted, DeleteOffsets(known))
        if answer.error:
            raise RequestError(answer.error, f"group {group_id!r} has members")
        errors = iter(answer.errors)
        return [
            next(errors) if exists else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION for _, exists in asked
        ]

    def check_reader(self, group_id: str, member_id: str | None, epoch: int) -> ErrorCode:
        """Whether a member that asks for offsets with its epoch (v9+) is where it thinks it is.
        Who names neither may look at everything."""
        hosted = self._find(group_id)
        if hosted is None or not isinstance(hosted.group, ConsumerGroup):
            return ErrorCode.NONE
        if not member_id and epoch < 0:
            return ErrorCode.NONE
        return consumer.check_epoch(hosted.group, member_id or "", epoch)

    def forget_topic(self, topic: str) -> None:
        """After a topic was deleted, and with it what the catalog has of its offsets."""
        for hosted in list(self._groups.values()):
            late = hosted.forget_topic(topic)
            if late:
                self._carry_out(hosted, kinds.forget_offsets(hosted.group, late))

    # Groups

    def list(self) -> Iterable[GroupDescription]:
        """Every group, by id."""
        for group_id in sorted(self._groups):
            hosted = self._find(group_id)
            if hosted is not None:
                yield describe(hosted.group)

    def exists(self, group_id: str) -> bool:
        """Whether there is such a group, be it on its way out."""
        return group_id in self._groups

    def describe(self, group_id: str) -> GroupDescription | None:
        """None if there is no such group."""
        self.check_group_id(group_id, may_be_empty=True)
        hosted = self._find(group_id)
        return None if hosted is None else describe(hosted.group)

    def describe_consumer(self, group_id: str) -> ConsumerGroupDescription | None:
        """None if there is no next-generation group of this id."""
        self.check_group_id(group_id, may_be_empty=True)
        hosted = self._find(group_id)
        if hosted is None or not isinstance(hosted.group, ConsumerGroup):
            return None
        return describe_consumer(hosted.group)

    def rebalances(self, group_id: str) -> Rebalances:
        """Those that ended since the broker started, or since the group was there."""
        hosted = self._find(group_id)
        return Rebalances() if hosted is None else hosted.rebalances

    async def delete(self, group_id: str) -> None:
        """Delete the group and its offsets, durably.

        Raises RequestError: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, COORDINATOR_NOT_AVAILABLE.
        """
        answer = await self._ask(self._find_known(group_id), Delete())
        if answer.error:
            raise RequestError(answer.error, f"group {group_id!r} has members")

    def check_group_id(self, group_id: str, *, may_be_empty: bool = False) -> None:
        """Raises RequestError INVALID_GROUP_ID. The empty id is one that old consumers without a
        group commit under; it can be looked at and deleted, and have no members."""
        longest = self.settings.group_id_length_max
        if len(group_id) > longest or not (group_id or may_be_empty):
            raise RequestError(
                ErrorCode.INVALID_GROUP_ID, f"a group id has 1 to {longest} characters"
            )

    def _host(self, group: AnyGroup) -> HostedGroup:
        is_durable = self._is_durable(group.group_id)
        catalog = self._catalog if is_durable else IN_MEMORY
        hosted = HostedGroup(group, catalog, self._now_ms, self._respond, self._written)
        self._groups[group.group_id] = hosted
        return hosted

    def _nobody(self, group_id: str) -> HostedGroup:
        """A group that does not exist, to say what one without members says."""
        group = Group(group_id, self.settings)
        return HostedGroup(group, self._catalog, self._now_ms, self._respond, self._written)

    def _find(self, group_id: str) -> HostedGroup | None:
        hosted = self._groups.get(group_id)
        return None if hosted is None or kinds.is_dead(hosted.group) else hosted

    def _find_known(self, group_id: str) -> HostedGroup:
        """Raises RequestError GROUP_ID_NOT_FOUND."""
        self.check_group_id(group_id, may_be_empty=True)
        hosted = self._find(group_id)
        if hosted is None:
            raise RequestError(ErrorCode.GROUP_ID_NOT_FOUND, f"there is no group {group_id!r}")
        return hosted

    def _find_or_host(self, group_id: str) -> HostedGroup:
        """Raises RequestError GROUP_MAX_SIZE_REACHED when there are too many groups."""
        hosted = self._groups.get(group_id)
        if hosted is not None:
            if kinds.is_dead(hosted.group):  # its deletion is on the way to the disk
                hosted.renew(Group(group_id, self.settings))
            return hosted
        if len(self._groups) >= self.settings.groups_max:
            raise RequestError(
                ErrorCode.GROUP_MAX_SIZE_REACHED,
                f"this broker keeps {self.settings.groups_max} groups and has no room for more",
            )
        return self._host(Group(group_id, self.settings))

    # Steps

    async def _ask(self, hosted: HostedGroup, request: Request) -> Any:
        """The group's answer, when it comes. Raises RequestError COORDINATOR_NOT_AVAILABLE when
        the broker stops or the disk fails."""
        if self._is_closed:
            raise _stopping()
        token = next(self._tokens)
        answer = asyncio.get_running_loop().create_future()
        self._parked[token] = answer
        try:
            step = kinds.step(hosted.group, replace(request, token=token), self._steady_ms())
            self._carry_out(hosted, step)
            return await answer
        finally:
            self._parked.pop(token, None)

    def _respond(self, token: Token, answer: Answer | RequestError) -> None:
        parked = self._parked.pop(token, None)
        if parked is None or parked.done():
            return  # its client has gone
        if isinstance(answer, RequestError):
            parked.set_exception(answer)
        else:
            parked.set_result(answer)

    def _carry_out(self, hosted: HostedGroup, step: Step) -> None:
        group = hosted.group
        if isinstance(group, Group):  # next-generation groups never stop for a rebalance
            is_rebalancing = group.state in (State.PREPARING, State.COMPLETING)
            took_s = hosted.rebalances.note(is_rebalancing, self._steady_ms())
            if took_s is not None:
                self._stats.rebalance_duration.observe(took_s)
                self._stats.rebalance_causes[group.rebalance_cause.value] += 1
        hosted.carry_out(step)
        if self._groups.get(hosted.group.group_id) is hosted:
            self._alarm.set(hosted.group.group_id, step.next_deadline_ms)
        if not hosted.is_writing:
            self._written(hosted)

    def _written(self, hosted: HostedGroup) -> None:
        """Let go of a group that was deleted, never came to anything, or was not to be kept."""
        group = hosted.group
        if self._groups.get(group.group_id) is not hosted:
            return
        if group.generation == 0:
            is_over = not hosted.offsets and is_left_over(group)
        else:
            is_over = not hosted.is_durable and is_left_over(group)
        if kinds.is_dead(group) or is_over:
            self._alarm.set(group.group_id, None)
            del self._groups[group.group_id]

    def _tick(self, group_id: str) -> None:
        hosted = self._find(group_id)
        if hosted is not None:
            self._carry_out(hosted, kinds.tick(hosted.group, self._steady_ms()))

    # Retention

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self.settings.offsets_retention_check_ms / 1000)
            await self.sweep()

    async def sweep(self) -> None:
        """Forget offsets that have expired, and groups of which nothing is left."""
        for count, group_id in enumerate(list(self._groups), start=1):
            self._sweep_group(group_id)
            if count % GROUPS_PER_TURN_MAX == 0:
                await asyncio.sleep(0)

    def _sweep_group(self, group_id: str) -> None:
        hosted = self._groups.get(group_id)
        if hosted is None or hosted.is_writing:
            return  # what is being written is younger than any retention
        group = hosted.group
        gone = expired(group, hosted.offsets, hosted.emptied_ms, self._retention_ms())
        if len(gone) == len(hosted.offsets) and is_left_over(group):
            log.info("group %r is forgotten: it has no members and no offsets", group_id)
            self._carry_out(hosted, kinds.step(group, Delete(), self._steady_ms()))
        elif gone:
            log.info("%d offsets of group %r have expired", len(gone), group_id)
            self._carry_out(hosted, kinds.forget_offsets(group, gone))


def _stopping() -> RequestError:
    return RequestError(ErrorCode.COORDINATOR_NOT_AVAILABLE, "the broker is stopping")
