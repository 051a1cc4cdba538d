"""Subscriptions as they come and go: which group they enter, and where it begins.

Where a group begins in a topic is said by its first subscription. A partition that is opened later
is read from its beginning, so that nobody misses what was written before anyone looked.
What must not enter: what a subscription does (`subscription`).
"""

import itertools
from typing import TYPE_CHECKING

from headrace.broker.changes import Changes
from headrace.broker.group_config_table import DURABLE
from headrace.broker.named_locks import NamedLocks
from headrace.broker.share.share_groups import EARLIEST
from headrace.broker.share.shared_partition import note
from headrace.broker.share.subscription import ShareSubscription
from headrace.wire.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from headrace.broker.broker import Broker
    from headrace.broker.topic import Topic

__all__ = ["ShareSubscriptions"]


class ShareSubscriptions:
    """One for a broker."""

    def __init__(self, broker: "Broker") -> None:
        self.changes = Changes()
        """What goes on to its end whoever asked for it."""
        self._broker = broker
        self._names = NamedLocks()
        self._connection_ids = itertools.count(-1, -1)
        """Those of sockets are positive."""
        self._made_ephemeral: set[str] = set()
        self._open: dict[str, set[ShareSubscription]] = {}
        """By group."""
        broker.groups.when_forgotten(self._forgotten)

    async def open(
        self, topic: str, group_id: str, *, durable: bool | None, since_ms: int, client: str
    ) -> ShareSubscription:
        """Enter the group, which begins in this topic at `since_ms` if it has not begun. Not to be
        cancelled.

        Raises RequestError: UNKNOWN_TOPIC_OR_PARTITION; INVALID_GROUP_ID; GROUP_ID_NOT_FOUND for a
        group of another kind; INCONSISTENT_GROUP_PROTOCOL for one that is durable and should not
        be, or the other way round; GROUP_MAX_SIZE_REACHED, SHARE_SESSION_LIMIT_REACHED,
        POLICY_VIOLATION for too many; KAFKA_STORAGE_ERROR; UNSUPPORTED_VERSION by one of several
        workers.
        """
        if not self._broker.ownership.is_alone:
            raise RequestError(
                ErrorCode.UNSUPPORTED_VERSION,
                "subscriptions are served by a broker of one process only, this one has several "
                "(workers); share groups of Kafka clients are served",
            )
        found = self._broker.topics.get(topic)
        made = ShareSubscription(
            self._broker, found, group_id, next(self._connection_ids), client, self._closed
        )
        async with self._names.hold(group_id):
            await self._set_durable(group_id, durable)
            try:
                await made.enter()
                await self._begin(found, group_id, since_ms)
                await made.read_assigned()
            except BaseException:
                await made.close()
                raise
        beside = self._open.setdefault(group_id, set())
        for other in beside:
            other.look()
        beside.add(made)
        return made

    async def close(self) -> None:
        await self.changes.wait()

    def _closed(self, closed: ShareSubscription) -> None:
        beside = self._open.get(closed.group_id, set())
        beside.discard(closed)
        if not beside:
            self._open.pop(closed.group_id, None)
        for other in beside:
            other.look()

    async def _set_durable(self, group_id: str, durable: bool | None) -> None:
        broker = self._broker
        broker.groups.check_group_id(group_id)
        if durable is None or durable == broker.group_configs.is_durable(group_id):
            return
        if broker.groups.exists(group_id):
            kind = "ephemeral" if durable else "durable"
            raise RequestError(
                ErrorCode.INCONSISTENT_GROUP_PROTOCOL, f"the group {group_id!r} is not {kind}"
            )
        value = "true" if durable else "false"
        await broker.group_configs.alter(
            group_id, lambda values: {**values, DURABLE: value}, in_use=False
        )
        if not durable:
            self._made_ephemeral.add(group_id)

    async def _begin(self, topic: "Topic", group_id: str, since_ms: int) -> None:
        share = self._broker.share
        parts = [(topic.id, index) for index in range(len(topic.partitions))]
        if any(share.find(group_id, *part) is not None for part in parts):
            since_ms = EARLIEST
        for part in parts:
            await share.begin(group_id, *part, since_ms)

    def _forgotten(self, group_id: str) -> None:
        """A group that was made ephemeral here leaves no configuration behind."""
        if group_id in self._made_ephemeral:
            self._made_ephemeral.discard(group_id)
            self.changes.start(self._reset_durable(group_id)).add_done_callback(note)

    async def _reset_durable(self, group_id: str) -> None:
        async with self._names.hold(group_id):
            if not self._broker.groups.exists(group_id):
                await self._broker.group_configs.alter(
                    group_id,
                    lambda values: {n: v for n, v in values.items() if n != DURABLE},
                    in_use=False,
                )
