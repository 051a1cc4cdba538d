"""All groups at home: which there are, how a step of one is carried out, when time comes to one.

A request becomes one step of its group's automaton (`headrace.groups`); one that is not answered
by its own step waits on a future, under a token that the automaton gives back with the answer.
What a step changed is durable before anything that followed from it is told (`hosted_group`).

What must not enter: what may be asked of a group (`group_coordinator`).
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from headrace.broker.alarm import Alarm
from headrace.broker.ephemeral import IN_MEMORY
from headrace.broker.group_rows import record_of
from headrace.broker.hosted_group import GroupCatalog, HostedGroup
from headrace.broker.stats import Stats
from headrace.groups import kinds
from headrace.groups.changes import Step
from headrace.groups.group import Group
from headrace.groups.kinds import AnyGroup
from headrace.groups.offsets import Committed, is_left_over
from headrace.groups.requests import Answer, OffsetToCommit, Request, Token
from headrace.groups.settings import GroupSettings
from headrace.groups.share_group import ShareGroup
from headrace.groups.states import State
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["HostedGroups"]

FirstKind = type[Group] | type[ShareGroup]
"""What a group begins as. A next-generation one begins as an empty classic one."""


class HostedGroups:
    """Every group of this broker, by id."""

    def __init__(
        self,
        catalog: GroupCatalog,
        settings: GroupSettings,
        now_ms: Callable[[], int],
        steady_ms: Callable[[], int],
        is_durable: Callable[[str], bool],
        settings_of: Callable[[str], GroupSettings],
        is_mine: Callable[[str], bool],
        stats: Stats,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._now_ms = now_ms
        self._steady_ms = steady_ms
        self._is_durable = is_durable
        self._settings_of = settings_of
        self._is_mine = is_mine
        self.forgotten: list[Callable[[str], None]] = []
        """Told the id of each group that was not to be kept, and is gone."""
        self.lapsed: list[Callable[[str, str], None]] = []
        """Told group and id of each member of a share group that was given up."""
        self._stats = stats
        self._groups: dict[str, HostedGroup] = {}
        self._parked: dict[Token, asyncio.Future[Any]] = {}
        self._tokens = itertools.count(1)
        self._alarm = Alarm(steady_ms, self._tick)
        self._is_closed = False

    async def load(self) -> None:
        """Load every group that is ours; from then on requests are served and time passes.

        Raises CatalogError for a saved group that cannot be read, RequestError if the catalog
        cannot be.
        """
        now_ms = self._steady_ms()
        for row in await self._catalog.groups.load_all():
            if not self._is_mine(row.group_id):
                continue
            settings = self._settings_of(row.group_id)
            hosted = self._host(kinds.restore(record_of(row), settings, now_ms))
            hosted.emptied_ms = row.emptied_ms
        for group_id, topic, partition, *what in await self._catalog.offsets.load_all():
            if not self._is_mine(group_id):
                continue
            loaded = self._groups.get(group_id) or self._host(self._new(group_id))
            loaded.offsets[topic, partition] = Committed._make(what)
        for group_id, producer_id, *offset in await self._catalog.pending_offsets.load_all():
            if not self._is_mine(group_id):
                continue
            loaded = self._groups.get(group_id) or self._host(self._new(group_id))
            one = OffsetToCommit._make(offset)
            loaded.pending.setdefault(producer_id, {})[one.topic, one.partition] = one
        for hosted in self._groups.values():
            self._alarm.set(hosted.group.group_id, hosted.group.next_deadline_ms)

    async def close(self) -> None:
        """Stop time, finish what is being written, send away everyone who waits. Idempotent."""
        self._is_closed = True
        self._alarm.close()
        await asyncio.gather(*(hosted.settled() for hosted in list(self._groups.values())))
        for token in list(self._parked):
            self._respond(token, _stopping())

    # Which there are

    def __iter__(self) -> Iterator[HostedGroup]:
        """Those that there are now, whatever happens to them meanwhile."""
        return iter(list(self._groups.values()))

    def ids(self) -> list[str]:
        """In order."""
        return sorted(self._groups)

    def exists(self, group_id: str) -> bool:
        """Whether there is such a group, be it on its way out."""
        return group_id in self._groups

    def find(self, group_id: str) -> HostedGroup | None:
        hosted = self._groups.get(group_id)
        return None if hosted is None or hosted.group.is_dead else hosted

    def find_or_host(self, group_id: str, kind: FirstKind = Group) -> HostedGroup:
        """The group, of whatever kind; a new one is of this `kind`.

        Raises RequestError GROUP_MAX_SIZE_REACHED when there are too many groups.
        """
        hosted = self._groups.get(group_id)
        if hosted is not None:
            if hosted.group.is_dead:  # its deletion is on the way to the disk
                hosted.renew(self._new(group_id, kind))
            return hosted
        if len(self._groups) >= self._settings.groups_max:
            raise RequestError(
                ErrorCode.GROUP_MAX_SIZE_REACHED,
                f"this broker keeps {self._settings.groups_max} groups and has no room for more",
            )
        return self._host(self._new(group_id, kind))

    def nobody(self, group_id: str, kind: FirstKind = Group) -> HostedGroup:
        """A group that does not exist, to say what one without members says."""
        group = self._new(group_id, kind)
        return HostedGroup(group, self._catalog, self._now_ms, self._respond, self._written)

    def settings_changed(self, group_id: str) -> None:
        """What was set for the group is another thing now; it takes effect as the group goes on."""
        hosted = self._groups.get(group_id)
        if hosted is not None:
            hosted.group.settings = self._settings_of(group_id)

    def _new(self, group_id: str, kind: FirstKind = Group) -> AnyGroup:
        return kind(group_id, self._settings_of(group_id))

    def _host(self, group: AnyGroup) -> HostedGroup:
        is_durable = self._is_durable(group.group_id)
        catalog = self._catalog if is_durable else IN_MEMORY
        hosted = HostedGroup(group, catalog, self._now_ms, self._respond, self._written)
        self._groups[group.group_id] = hosted
        return hosted

    # Steps

    async def ask(self, hosted: HostedGroup, request: Request) -> Any:
        """The group's answer, when it comes. Raises RequestError COORDINATOR_NOT_AVAILABLE when
        the broker stops or the disk fails."""
        if self._is_closed:
            raise _stopping()
        token = next(self._tokens)
        answer = asyncio.get_running_loop().create_future()
        self._parked[token] = answer
        try:
            self.take(hosted, replace(request, token=token))
            return await answer
        finally:
            self._parked.pop(token, None)

    def take(self, hosted: HostedGroup, request: Request) -> None:
        """One step whose answer nobody awaits."""
        self.carry_out(hosted, kinds.step(hosted.group, request, self._steady_ms()))

    def carry_out(self, hosted: HostedGroup, step: Step) -> None:
        if step.becomes is not None:
            hosted.become(step.becomes)
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

    def _respond(self, token: Token, answer: Answer | RequestError) -> None:
        parked = self._parked.pop(token, None)
        if parked is None or parked.done():
            return  # its client has gone
        if isinstance(answer, RequestError):
            parked.set_exception(answer)
        else:
            parked.set_result(answer)

    def _written(self, hosted: HostedGroup) -> None:
        """Let go of a group that was deleted, never came to anything, or was not to be kept."""
        group = hosted.group
        if self._groups.get(group.group_id) is not hosted:
            return
        if group.generation == 0:
            is_over = not (hosted.offsets or hosted.pending) and is_left_over(group)
        else:
            is_over = not hosted.is_durable and is_left_over(group)
        if group.is_dead or is_over:
            self._alarm.set(group.group_id, None)
            del self._groups[group.group_id]
            if not (group.is_dead or hosted.is_durable):
                for watcher in self.forgotten:
                    watcher(group.group_id)

    def _tick(self, group_id: str) -> None:
        hosted = self.find(group_id)
        if hosted is not None:
            step = kinds.tick(hosted.group, self._steady_ms())
            self.carry_out(hosted, step)
            for member_id in step.lapsed:
                for watcher in self.lapsed:
                    watcher(group_id, member_id)


def _stopping() -> RequestError:
    return RequestError(ErrorCode.COORDINATOR_NOT_AVAILABLE, "the broker is stopping")
