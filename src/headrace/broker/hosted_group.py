"""One group at home: its automaton, its committed offsets, and the way of its changes to the disk.

While changes are being written, what the group does next collects behind them and is written
together after, so a group's changes stay in order and many commits of one group share a write as
those of many groups do. An answer leaves when all that happened before it is durable; offsets are
seen by readers from then on too.

If a write fails, those who wait for it are told that the coordinator is not available, which makes
every client ask again; the group goes on from memory and is saved whole with its next step.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from headrace.broker.ephemeral import IN_MEMORY
from headrace.broker.group_outcome import Outcome, Pending, TopicPartition
from headrace.broker.group_rows import row_of
from headrace.broker.stats import Rebalances
from headrace.catalog.groups import GroupRow
from headrace.groups.changes import (
    Change,
    GroupSaved,
    OffsetsCommitted,
    OffsetsPending,
    PendingEnded,
    Reply,
    Step,
)
from headrace.groups.group import Group
from headrace.groups.kinds import AnyGroup, AnyRecord, restore
from headrace.groups.offsets import Committed
from headrace.groups.requests import Answer, Token
from headrace.groups.states import State
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["GroupCatalog", "HostedGroup", "TopicPartition"]

log = logging.getLogger("headrace.groups")

Respond = Callable[[Token, Answer | RequestError], None]


class _GroupTable(Protocol):
    async def load_all(self) -> list[GroupRow]: ...
    async def save(self, group: GroupRow) -> None: ...
    async def delete(self, group_id: str) -> None: ...


class _OffsetTable(Protocol):
    async def load_all(self) -> Iterable[tuple[str, str, int, int, int, str, int]]: ...
    async def commit(
        self, group_id: str, offsets: Iterable[tuple[str, int, int, int, str]], now_ms: int
    ) -> None: ...
    async def delete(
        self, group_id: str, pairs: Iterable[TopicPartition] | None = None
    ) -> None: ...


class _PendingOffsetTable(Protocol):
    async def load_all(self) -> Iterable[tuple[str, int, str, int, int, int, str]]: ...
    async def replace(
        self, group_id: str, producer_id: int, offsets: Iterable[tuple[str, int, int, int, str]]
    ) -> None: ...


class GroupCatalog(Protocol):
    """The part of the catalog that groups need. What a method did is durable when it returns; it
    raises RequestError when the disk does not play along."""

    @property
    def groups(self) -> _GroupTable: ...
    @property
    def offsets(self) -> _OffsetTable: ...
    @property
    def pending_offsets(self) -> _PendingOffsetTable: ...


class _Batch(NamedTuple):
    changes: list[Change]
    replies: list[Reply]


class HostedGroup:
    """Owned by the coordinator; every method runs on the event loop."""

    __slots__ = (
        "_catalog",
        "_collected",
        "_logged_generation",
        "_now_ms",
        "_respond",
        "_unsaved",
        "_writer",
        "_writing",
        "_written",
        "emptied_ms",
        "group",
        "offsets",
        "pending",
        "rebalances",
    )

    def __init__(
        self,
        group: AnyGroup,
        catalog: GroupCatalog,
        now_ms: Callable[[], int],
        respond: Respond,
        written: "Callable[[HostedGroup], None]",
    ) -> None:
        """`written` is called when nothing is being written any more."""
        self.group = group
        self.rebalances = Rebalances()
        self.offsets: dict[TopicPartition, Committed] = {}
        """Durably committed. Read freely."""
        self.pending: Pending = {}
        """Durably part of a transaction that is not over. Read freely."""
        self.emptied_ms: int | None = None
        """When its last member left, by the calendar."""
        self._catalog = catalog
        self._respond = respond
        self._now_ms = now_ms
        self._written = written
        self._collected = _Batch([], [])
        self._writing = _Batch([], [])
        self._writer: asyncio.Task[None] | None = None
        self._unsaved = False
        self._logged_generation = group.generation

    @property
    def is_durable(self) -> bool:
        return self._catalog is not IN_MEMORY

    def is_pending(self, pair: TopicPartition) -> bool:
        """Whether a transaction may still change the partition's offset."""
        return any(pair in pending for pending in self.pending.values())

    @property
    def is_writing(self) -> bool:
        return self._writer is not None

    def carry_out(self, step: Step) -> None:
        """Make the step's changes durable, then give its answers."""
        if self.group.generation != self._logged_generation:
            self._log_generation()
        collected = self._collected
        collected.changes.extend(step.changes)
        if self._unsaved and not self.group.is_dead:
            collected.changes.append(GroupSaved(self.group.record))
            self._unsaved = False
        collected.replies.extend(step.replies)
        if self._writer is not None:
            return
        if collected.changes:
            self._writer = asyncio.create_task(self._write(), name="group writer")
        else:
            self._collected = _Batch([], [])
            for token, answer in collected.replies:
                self._respond(token, answer)

    def renew(self, group: AnyGroup) -> None:
        """Begin anew under the id of a group that was deleted."""
        self.group = group
        self.emptied_ms = None

    def become(self, group: AnyGroup) -> None:
        """Go on as a group of another kind."""
        self.group = group
        self.rebalances.began_ms = None
        if group.members:
            kind = "classic" if isinstance(group, Group) else "next-generation"
            log.info(
                "group %r with %d members is a %s group from now on",
                group.group_id,
                len(group.members),
                kind,
            )

    def forget_topic(self, topic: str, *, again: bool = False) -> tuple[TopicPartition, ...]:
        """Stop showing offsets of a topic that was deleted with them; returns which must be
        forgotten on the disk once more: those on their way to it, or `again` all of them."""
        late = {
            pair
            for change in (*self._writing.changes, *self._collected.changes)
            for pair in self._pairs_of(change)
            if pair[0] == topic
        }
        places: list[dict[TopicPartition, Any]] = [self.offsets, *self.pending.values()]
        for known in places:
            for pair in [pair for pair in known if pair[0] == topic]:
                del known[pair]
                if again:
                    late.add(pair)
        return tuple(late)

    def _pairs_of(self, change: Change) -> Iterable[TopicPartition]:
        """Those that the change gives an offset."""
        if isinstance(change, OffsetsCommitted | OffsetsPending):
            return [(offset.topic, offset.partition) for offset in change.offsets]
        if isinstance(change, PendingEnded):
            return list(self.pending.get(change.producer_id, ()))
        return ()

    async def settled(self) -> None:
        """Wait until nothing is being written."""
        while self._writer is not None:
            await asyncio.wait([self._writer])

    async def _write(self) -> None:
        while self._collected.changes or self._collected.replies:
            self._writing, self._collected = self._collected, _Batch([], [])
            failure = await self._write_batch(self._writing.changes)
            for token, answer in self._writing.replies:
                self._respond(token, failure or answer)
            self._writing = _Batch([], [])
        self._writer = None
        self._written(self)

    async def _write_batch(self, changes: list[Change]) -> RequestError | None:
        now_ms = self._now_ms()
        outcome = Outcome(self.pending)
        for change in changes:
            outcome.add(change, now_ms)
        try:
            await self._persist(outcome, now_ms)
        except RequestError as error:
            log.error("group %r cannot be saved: %s", self.group.group_id, error.message)
        except Exception:
            log.exception("saving group %r failed", self.group.group_id)
        else:
            self._show(outcome)
            return None
        self._unsaved = self._unsaved or outcome.saved is not None
        if outcome.deleted and self.group.is_dead:
            alive = replace(self.group.record(), state=State.EMPTY)
            self.group = restore(alive, self.group.settings, 0)
        return RequestError(ErrorCode.COORDINATOR_NOT_AVAILABLE, "the group cannot be saved now")

    async def _persist(self, outcome: Outcome, now_ms: int) -> None:
        """Hand everything to the catalog at once: it applies it in order, in one commit."""
        group_id = self.group.group_id
        groups, offsets = self._catalog.groups, self._catalog.offsets
        writes = []
        if outcome.deleted:
            writes.append(groups.delete(group_id))
        forgotten = [pair for pair, committed in outcome.offsets.items() if committed is None]
        if forgotten:
            writes.append(offsets.delete(group_id, forgotten))
        rows = [
            (topic, partition, committed.offset, committed.leader_epoch, committed.metadata)
            for (topic, partition), committed in outcome.offsets.items()
            if committed is not None
        ]
        if rows:
            writes.append(offsets.commit(group_id, rows, now_ms))
        writes += [
            self._catalog.pending_offsets.replace(group_id, producer_id, pending.values())
            for producer_id, pending in outcome.pending.items()
        ]
        if outcome.saved is not None:
            record = outcome.saved.record
            self._note_emptied(record, now_ms)
            writes.append(groups.save(row_of(record, self.emptied_ms)))
        for result in await asyncio.gather(*writes, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    def _log_generation(self) -> None:
        group = self.group
        self._logged_generation = group.generation
        log.info(
            "group %r: generation %d with %d members, because %r",
            group.group_id,
            group.generation,
            len(group.members),
            group.rebalance_reason,
        )

    def _note_emptied(self, record: AnyRecord, now_ms: int) -> None:
        if record.state is not State.EMPTY:
            self.emptied_ms = None
        elif self.emptied_ms is None:
            self.emptied_ms = now_ms

    def _show(self, outcome: Outcome) -> None:
        if outcome.deleted:
            self.offsets.clear()
            self.pending.clear()
        self.pending.update(outcome.pending)
        for producer_id in [id_ for id_, pending in self.pending.items() if not pending]:
            del self.pending[producer_id]
        for pair, committed in outcome.offsets.items():
            if committed is None:
                self.offsets.pop(pair, None)
            else:
                self.offsets[pair] = committed
