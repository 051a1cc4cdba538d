"""A partition whose log cannot be used: it keeps its place and answers everything with why.

So one damaged partition neither stops the broker nor is mistaken for an empty one.
"""

from collections.abc import Callable, Sequence
from typing import NoReturn

from headrace.log.contract import (
    Aborted,
    AppendDone,
    CleaningDone,
    CleaningState,
    LastBatch,
    LogConfig,
    LogOffsets,
    ProducerSnapshot,
    Slice,
    TimestampedOffset,
)
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.markers import Marker

__all__ = ["OfflineLog"]


class OfflineLog:
    """A PartitionLog that was never opened. Whatever needs data raises KAFKA_STORAGE_ERROR."""

    __slots__ = ("leader_epoch", "reason")

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.leader_epoch = 0

    def append(self, batch: memoryview, acks: int, done: AppendDone | None) -> None:
        self._refuse()

    def append_marker(self, marker: Marker, done: AppendDone) -> None:
        self._refuse()

    def is_in_transaction(self, producer_id: int, producer_epoch: int) -> bool:
        return False

    async def read(
        self, offset: int, size_bytes_max: int, *, at_least_one: bool, committed: bool = False
    ) -> Slice:
        self._refuse()

    def aborted_between(self, start: int, end: int) -> Sequence[Aborted]:
        self._refuse()

    def committed_end(self) -> int:
        self._refuse()

    def offsets(self) -> LogOffsets:
        self._refuse()

    def readable_bytes_after(self, offset: int) -> int:
        self._refuse()

    def notify(self, waiter: Callable[[], None]) -> Callable[[], None]:
        """Nothing will ever happen here."""
        return _nothing

    async def offset_for_time(self, timestamp_ms: int) -> TimestampedOffset | None:
        self._refuse()

    async def delete_before(self, offset: int) -> int:
        self._refuse()

    def producers(self) -> list[ProducerSnapshot]:
        return []

    def last_batch(self, producer_id: int) -> LastBatch | None:
        self._refuse()

    def size_bytes(self) -> int:
        return 0

    def configure(self, config: LogConfig) -> None:
        """What was set takes effect when the log can be opened, at the next start."""

    async def tidy(self, now_ms: int) -> int:
        return 0

    def cleaning(self, now_ms: int) -> CleaningState | None:
        return None

    async def clean(self, now_ms: int, map_bytes_max: int) -> CleaningDone:
        self._refuse()

    async def close(self) -> None:
        """There is nothing open."""

    def _refuse(self) -> NoReturn:
        raise RequestError(
            ErrorCode.KAFKA_STORAGE_ERROR, f"this partition is offline: {self.reason}"
        )


def _nothing() -> None:
    """Cancels a notification that was never registered."""
