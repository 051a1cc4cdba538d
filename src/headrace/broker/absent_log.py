"""A partition whose log is not here: it keeps its place and answers everything with why.

So a partition that is damaged, or that another worker serves, neither stops the broker nor is
mistaken for an empty one, and loops over partitions find nothing to do. What must not enter: a log.
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

__all__ = ["AbsentLog", "OfflineLog"]


class AbsentLog:
    """A PartitionLog without a log. Whatever needs one raises RequestError with `code`."""

    __slots__ = ("_code", "_why", "leader_epoch")

    def __init__(self, code: ErrorCode, why: str) -> None:
        self._code = code
        self._why = why
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
        """Nothing happens here."""
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
        """What was set takes effect where the log is, or when it can be opened."""

    async def tidy(self, now_ms: int) -> int:
        return 0

    def cleaning(self, now_ms: int) -> CleaningState | None:
        return None

    async def clean(self, now_ms: int, map_bytes_max: int) -> CleaningDone:
        self._refuse()

    async def close(self) -> None:
        """There is nothing open."""

    def _refuse(self) -> NoReturn:
        raise RequestError(self._code, self._why)


class OfflineLog(AbsentLog):
    """One that cannot be opened, until the next start."""

    __slots__ = ()

    def __init__(self, reason: str) -> None:
        super().__init__(ErrorCode.KAFKA_STORAGE_ERROR, f"this partition is offline: {reason}")


def _nothing() -> None:
    """Cancels a notification that was never registered."""
