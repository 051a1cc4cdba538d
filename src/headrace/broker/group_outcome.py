"""What a batch of a group's changes comes to: writing it is writing them one by one.

Offsets of open transactions are kept by producer, beside those that count, until the broker says
how the transaction ended; a plain commit that comes after them is the group's later word. What
must not enter: the catalog.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace.groups.changes import (
    Change,
    GroupDeleted,
    GroupSaved,
    OffsetsCommitted,
    OffsetsPending,
    PendingEnded,
)
from headrace.groups.offsets import Committed
from headrace.groups.requests import OffsetToCommit

__all__ = ["Outcome", "Pending", "TopicPartition"]

TopicPartition = tuple[str, int]

Pending = dict[int, dict[TopicPartition, OffsetToCommit]]
"""By producer id: offsets that count when its transaction is committed."""


@dataclass(slots=True)
class Outcome:
    """Made for one batch, from what is pending before it."""

    pending_before: Mapping[int, Mapping[TopicPartition, OffsetToCommit]]
    deleted: bool = False
    saved: GroupSaved | None = None
    offsets: dict[TopicPartition, Committed | None] = field(default_factory=dict)
    """None: forgotten."""
    pending: Pending = field(default_factory=dict)
    """Of the producers that changed: everything, after the batch."""

    def add(self, change: Change, now_ms: int) -> None:
        if isinstance(change, GroupSaved):
            self.saved = change
        elif isinstance(change, GroupDeleted):
            self.deleted, self.saved = True, None
            self.offsets.clear()
            self.pending = {producer_id: {} for producer_id in self.pending_before}
        elif isinstance(change, OffsetsCommitted):
            self._commit(change.offsets, now_ms)
            if self.pending_before or self.pending:
                pairs = tuple((offset.topic, offset.partition) for offset in change.offsets)
                self._forget_pending(pairs)
        elif isinstance(change, OffsetsPending):
            pending = self._pending_of(change.producer_id)
            pending.update(((offset.topic, offset.partition), offset) for offset in change.offsets)
        elif isinstance(change, PendingEnded):
            ended = self._pending_of(change.producer_id)
            if change.commit:
                self._commit(tuple(ended.values()), now_ms)
            ended.clear()
        else:
            self.offsets.update(dict.fromkeys(change.partitions))
            self._forget_pending(change.partitions)

    def _commit(self, offsets: tuple[OffsetToCommit, ...], now_ms: int) -> None:
        for topic, partition, offset, epoch, metadata in offsets:
            self.offsets[topic, partition] = Committed(offset, epoch, metadata, now_ms)

    def _pending_of(self, producer_id: int) -> dict[TopicPartition, OffsetToCommit]:
        if producer_id not in self.pending:
            self.pending[producer_id] = dict(self.pending_before.get(producer_id, {}))
        return self.pending[producer_id]

    def _forget_pending(self, partitions: tuple[TopicPartition, ...]) -> None:
        for producer_id in {*self.pending_before, *self.pending}:
            known = self.pending.get(producer_id, self.pending_before.get(producer_id, {}))
            if not known.keys().isdisjoint(partitions):
                pending = self._pending_of(producer_id)
                for pair in partitions:
                    pending.pop(pair, None)
