"""Every partition that a share group reads, and every session on them.

A share partition begins when a member first fetches it: from there on where the group starts is
durable, and what was not accepted comes again, whatever happens. It ends with its topic, with its
group, or when an administrator deletes it.

What must not enter: reading the log (`fetching`), who is a member.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from headrace.broker.alarm import Alarm
from headrace.broker.changes import Changes
from headrace.broker.group_config_table import BY_DURATION
from headrace.broker.iso_durations import duration_ms
from headrace.broker.share.rows import record_of
from headrace.broker.share.sessions import OPENING, Sessions, ShareSession
from headrace.broker.share.shared_partition import SharedPartition, ShareKey, note
from headrace.groups.share_partition import SharePartition
from headrace.groups.share_steps import Acknowledgement, ShareSettings
from headrace.wire.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from headrace.broker.broker import Broker
    from headrace.broker.topics import Partition, Topic
    from headrace.groups.description import ShareGroupDescription

__all__ = [
    "EARLIEST",
    "LATEST",
    "NOT_BEGUN",
    "SHARE_PARTITIONS_MAX",
    "Acknowledgement",
    "ShareGroups",
    "SharedOffset",
    "lag_of",
]

LATEST: Final = -1
EARLIEST: Final = -2

SHARE_PARTITIONS_MAX: Final = 20_000
"""Of all groups together; each takes one to some hundred kilobytes, and a row of the catalog."""

log = logging.getLogger("headrace.share")


class SharedOffset(NamedTuple):
    """Where a group is in a partition; a start of -1: it has not begun."""

    start_offset: int
    leader_epoch: int
    lag: int
    """Records that are neither accepted nor archived; -1 if that is not known."""


NOT_BEGUN: Final = SharedOffset(-1, 0, -1)


class ShareGroups:
    """One for a broker: made by `open`, ended by `close`."""

    def __init__(self, broker: "Broker") -> None:
        self.sessions = Sessions(broker.configs.integer("group.share.max.share.sessions"))
        self._broker = broker
        self._partitions: dict[ShareKey, SharedPartition] = {}
        self._beginning: dict[ShareKey, asyncio.Task[SharedPartition]] = {}
        self._settings: dict[str, ShareSettings] = {}
        self._changes = Changes()
        self._alarm = Alarm(broker.steady_ms, self._tick)
        self._names: dict[str, SharedPartition] = {}
        """For the alarm."""
        broker.groups.when_forgotten(self.forget_group)
        broker.groups.when_lapsed(self.member_lapsed)
        broker.topics.when_deleted(self._topic_deleted)
        broker.group_configs.when_changed(self._forget_settings)
        broker.configs.when_changed(self._settings.clear)

    async def start(self) -> None:
        """Load what is kept. Raises CatalogError for a row that cannot be read, RequestError if
        the catalog cannot be."""
        for row in await self._broker.catalog.share_partitions.load_all():
            topic = self._broker.topics.by_id.get(row.topic_id)
            if topic is None or row.partition >= len(topic.partitions):
                continue
            if not topic.partitions[row.partition].is_mine:
                continue
            automaton = SharePartition.restore(record_of(row), self.settings(row.group_id))
            self._host(row.group_id, topic.partitions[row.partition], automaton)
        for shared in self._partitions.values():
            if shared.automaton.condemned():
                shared.bury_left_over()

    async def postpone_burials(self) -> None:
        """Before the broker closes, and while what is on its way to other workers is not given up,
        which would count as a letter that cannot be written. Idempotent."""
        self._alarm.close()
        for shared in self._partitions.values():
            await shared.postpone_burials()

    async def close(self) -> None:
        """Stop time and finish what is being written. Idempotent."""
        self._alarm.close()
        await self._changes.wait()
        await asyncio.gather(*self._beginning.values(), return_exceptions=True)
        for shared in self._partitions.values():
            await shared.settled()

    # Members

    def settings(self, group_id: str) -> ShareSettings:
        """Of this group, as configured at this moment."""
        known = self._settings.get(group_id)
        if known is None:
            configs = self._broker.group_configs
            known = self._settings[group_id] = ShareSettings(
                lock_duration_ms=configs.integer(group_id, "share.record.lock.duration.ms"),
                delivery_count_max=configs.integer(group_id, "share.delivery.count.limit"),
                record_locks_max=configs.integer(group_id, "share.partition.max.record.locks"),
                may_renew=configs.boolean(group_id, "share.renew.acknowledge.enable"),
                has_dead_letters=self._broker.dead_letters.wanted_by(group_id),
            )
        return known

    def check_group(self, group_id: str) -> "ShareGroupDescription":
        """Raises RequestError: GROUP_ID_NOT_FOUND for what is no share group, INVALID_GROUP_ID."""
        found = self._broker.groups.describe_share(group_id)
        if found is None:
            raise RequestError(ErrorCode.GROUP_ID_NOT_FOUND, f"{group_id[:60]!r} is no share group")
        return found

    def check_empty(self, group_id: str) -> None:
        """Raises RequestError: NON_EMPTY_GROUP while the group has members, what check_group
        does."""
        if self.check_group(group_id).members:
            raise RequestError(ErrorCode.NON_EMPTY_GROUP, f"group {group_id!r} has members")

    def session(
        self, group_id: str | None, member_id: str | None, epoch: int, connection_id: int
    ) -> ShareSession:
        """The session of a request. As in Kafka, who sends it need not be a member by now: what it
        holds is still its own.

        Raises RequestError: INVALID_REQUEST without group or member, what check_group and
        `Sessions` do.
        """
        if not group_id or not member_id:
            raise RequestError(ErrorCode.INVALID_REQUEST, "a group id and a member id are needed")
        if self._broker.ownership.is_my_group(group_id):  # or else see `elsewhere.check_session`
            self.check_group(group_id)
        if epoch == OPENING:
            return self.sessions.open(group_id, member_id, connection_id)
        return self.sessions.find(group_id, member_id, epoch, connection_id)

    def find(self, group_id: str, topic_id: UUID | None, index: int) -> SharedPartition | None:
        """None if the group has not begun with this partition.
        Raises RequestError: UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION."""
        topic = self._broker.topics.get_by_id(topic_id)
        partition = self._broker.topics.partition(topic.name, index)
        return self._find(group_id, partition)

    async def begin(
        self, group_id: str, topic_id: UUID | None, index: int, since_ms: int | None = None
    ) -> SharedPartition:
        """The partition as the group has it, from now on if it had not begun; that is durable.
        It begins with the first record that is not older than `since_ms`, or with EARLIEST or
        LATEST; None: where the group is configured to.

        Raises RequestError: UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION, KAFKA_STORAGE_ERROR,
        UNKNOWN_SERVER_ERROR when there are too many.
        """
        topic = self._broker.topics.get_by_id(topic_id)
        partition = self._broker.topics.partition(topic.name, index)
        shared = self._find(group_id, partition)
        if shared is not None:
            return shared
        key = group_id, topic.id.hex, index
        beginning = self._beginning.get(key)
        if beginning is None:
            beginning = asyncio.ensure_future(self._begin(group_id, partition, since_ms))
            self._beginning[key] = beginning
            beginning.add_done_callback(lambda _: self._beginning.pop(key))
            beginning.add_done_callback(_look_at)
        return await asyncio.shield(beginning)

    def acknowledge(
        self, session: ShareSession, shared: SharedPartition, batches: list[Acknowledgement]
    ) -> "asyncio.Future[None] | None":
        """The effect is there at once; wait for the future before saying so.
        Raises RequestError: INVALID_REQUEST, INVALID_RECORD_STATE."""
        step = shared.automaton.acknowledge(session.member_id, batches, self._broker.steady_ms())
        if step.error:
            raise RequestError(step.error, step.message)
        return shared.settle(step)

    def locked(self, session: ShareSession, shared: SharedPartition) -> None:
        """The member has acquired records."""
        session.held.add(shared)
        lock_ms = shared.automaton.settings.lock_duration_ms
        self._alarm.set(_name(shared.key), self._broker.steady_ms() + lock_ms)

    def close_session(self, session: ShareSession) -> None:
        """The member is done: others may have what it holds."""
        self.sessions.close(session)
        session.end()
        for shared in session.held:
            shared.settle(shared.automaton.release_member(session.member_id))
        session.held.clear()

    def connection_closed(self, connection_id: int) -> None:
        for session in self.sessions.of_connection(connection_id):
            self.close_session(session)

    def member_lapsed(self, group_id: str, member_id: str) -> None:
        """The group has given the member up, whatever its connection does."""
        session = self.sessions.of_member(group_id, member_id)
        if session is not None:
            self.close_session(session)

    # Administrators

    def of_group(self, group_id: str) -> Iterator[SharedPartition]:
        """The partitions that the group has begun with."""
        return (shared for key, shared in self._partitions.items() if key[0] == group_id)

    def all(self) -> Iterable[SharedPartition]:
        return self._partitions.values()

    def offset(self, group_id: str, topic: str, index: int) -> SharedOffset:
        """Raises RequestError UNKNOWN_TOPIC_OR_PARTITION."""
        partition = self._broker.topics.partition(topic, index)
        shared = self._find(group_id, partition)
        if shared is None:
            return NOT_BEGUN
        return SharedOffset(
            shared.automaton.start_offset, partition.log.leader_epoch, lag_of(shared)
        )

    async def set_offset(self, group_id: str, topic: str, index: int, start_offset: int) -> None:
        """Share from `start_offset` on, durably; nothing of before counts.

        Raises RequestError: UNKNOWN_TOPIC_OR_PARTITION, KAFKA_STORAGE_ERROR, UNKNOWN_SERVER_ERROR.
        """
        partition = self._broker.topics.partition(topic, index)
        shared = await self.begin(group_id, partition.topic.id, index)
        saved = shared.settle(shared.automaton.reset(start_offset))
        if saved is not None:
            await asyncio.shield(saved)

    async def forget(self, group_id: str, topics: Iterable["Topic"]) -> None:
        """The group has never read these topics. Raises RequestError KAFKA_STORAGE_ERROR."""
        ids = {topic.id for topic in topics}
        for shared in list(self.of_group(group_id)):
            if shared.partition.topic.id in ids:
                self._drop(shared)
        rows = self._broker.catalog.share_partitions
        await self._changes.run(rows.delete(group_id, ids))

    async def forget_here(self, group_id: str, topic_ids: Collection[UUID]) -> None:
        """What another worker, which coordinates the group, has forgotten: these topics, or if
        there are none the group. Raises RequestError KAFKA_STORAGE_ERROR."""
        dropped = [
            shared
            for shared in self.of_group(group_id)
            if not topic_ids or shared.partition.topic.id in topic_ids
        ]
        for shared in dropped:
            self._drop(shared)
        if not topic_ids:
            self._forget_settings(group_id)
            for session in self.sessions.of_group(group_id):
                self.close_session(session)
        for shared in dropped:
            await shared.settled()
        rows = self._broker.catalog.share_partitions
        places = [(shared.partition.topic.id, shared.partition.index) for shared in dropped]
        if places:
            await self._changes.run(rows.delete_partitions(group_id, places))

    def forget_group(self, group_id: str) -> None:
        """The group was deleted, and in the catalog with it what it has shared; but for what was
        on its way there."""
        for shared in list(self.of_group(group_id)):
            self._drop(shared)
        self._forget_settings(group_id)
        rows = self._broker.catalog.share_partitions
        deleting = asyncio.ensure_future(self._changes.run(rows.delete_group(group_id)))
        deleting.add_done_callback(note)

    # What these are made of

    def _find(self, group_id: str, partition: "Partition") -> SharedPartition | None:
        shared = self._partitions.get((group_id, partition.topic.id.hex, partition.index))
        if shared is not None:
            shared.automaton.settings = self.settings(group_id)
        return shared

    async def _begin(
        self, group_id: str, partition: "Partition", since_ms: int | None
    ) -> SharedPartition:
        start_offset = await self._first_offset(group_id, partition, since_ms)
        self._broker.topics.get_by_id(partition.topic.id)  # it may be gone by now
        if len(self._partitions) >= SHARE_PARTITIONS_MAX:
            raise RequestError(
                ErrorCode.UNKNOWN_SERVER_ERROR,
                f"share groups read {SHARE_PARTITIONS_MAX} partitions and cannot read more",
            )
        automaton = SharePartition(start_offset, self.settings(group_id))
        shared = self._host(group_id, partition, automaton)
        try:
            await shared.save()
        except RequestError:
            self._drop(shared)
            raise
        return shared

    async def _first_offset(
        self, group_id: str, partition: "Partition", since_ms: int | None
    ) -> int:
        offsets = partition.log.offsets()
        if since_ms is None:
            since_ms = self._configured_start(group_id)
        if since_ms == EARLIEST:
            return offsets.start
        if since_ms >= 0:
            found = await partition.log.offset_for_time(since_ms)
            if found is not None:
                return found.offset
        return offsets.high_watermark

    def _configured_start(self, group_id: str) -> int:
        """Where share.auto.offset.reset has the group begin."""
        reset = self._broker.group_configs.text(group_id, "share.auto.offset.reset")
        if reset == "earliest":
            return EARLIEST
        if reset.startswith(BY_DURATION):
            return max(0, self._broker.now_ms() - duration_ms(reset.removeprefix(BY_DURATION)))
        return LATEST

    def _host(
        self, group_id: str, partition: "Partition", automaton: SharePartition
    ) -> SharedPartition:
        is_durable = self._broker.group_configs.is_durable(group_id)
        shared = SharedPartition(
            self._broker, group_id, partition, automaton, is_durable=is_durable
        )
        self._partitions[shared.key] = self._names[_name(shared.key)] = shared
        return shared

    def _drop(self, shared: SharedPartition) -> None:
        shared.is_forgotten = True
        self._partitions.pop(shared.key, None)
        self._names.pop(_name(shared.key), None)
        self._alarm.set(_name(shared.key), None)
        shared.wake()

    def _tick(self, name: str) -> None:
        shared = self._names[name]
        shared.settle(shared.automaton.tick(self._broker.steady_ms()))
        self._alarm.set(name, shared.automaton.next_deadline_ms())

    def _forget_settings(self, group_id: str) -> None:
        self._settings.pop(group_id, None)

    def _topic_deleted(self, topic: "Topic") -> None:
        for shared in list(self._partitions.values()):
            if shared.partition.topic is topic:
                self._drop(shared)


def _look_at(ended: "asyncio.Task[SharedPartition]") -> None:
    """Whoever asked may have gone, and nobody would look at why it failed."""
    if not ended.cancelled():
        ended.exception()


def lag_of(shared: SharedPartition) -> int:
    """Records that are neither accepted nor archived; -1 while the log is offline."""
    try:
        end = shared.partition.log.offsets().high_watermark
    except RequestError:
        return -1
    automaton = shared.automaton
    return max(0, end - automaton.start_offset - automaton.finished())


def _name(key: ShareKey) -> str:
    group_id, topic, index = key
    return f"{topic}-{index}-{group_id}"
