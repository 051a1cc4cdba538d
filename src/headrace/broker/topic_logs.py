"""Opening, making and removing the logs of topics: the broker's side of the store of logs.

A few are opened at a time, and a log that cannot be opened is an OfflineLog, not an error, when it
belongs to a topic that exists. What must not enter: which topics exist.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Final, Protocol
from uuid import UUID

from headrace.broker.absent_log import OfflineLog
from headrace.broker.cluster.ownership import Ownership
from headrace.broker.cluster.peers import Peers
from headrace.broker.cluster.remote_log import RemoteLog
from headrace.broker.orphans import orphans
from headrace.catalog.topics import TopicRow
from headrace.log.contract import CorruptLogError, LogConfig, PartitionLog
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["LogStore", "TopicLogs"]

OPENING_LOGS_MAX: Final = 32
"""Logs that are opened at one time."""

_log = logging.getLogger(__name__)


class LogStore(Protocol):
    """What topics need of the store of logs."""

    async def open_log(
        self, topic_id: UUID, partition: int, config: LogConfig, *, must_exist: bool = False
    ) -> PartitionLog: ...

    async def make_directory(self, topic_id: UUID, partition: int) -> None: ...

    async def sync_topic(self, topic_id: UUID) -> None: ...

    async def discard_topic(self, topic_id: UUID) -> None: ...

    async def delete_topic(self, topic_id: UUID) -> None: ...

    def topic_ids(self) -> set[UUID]: ...

    def holds_data(self, topic_id: UUID) -> bool: ...


class TopicLogs:
    def __init__(self, store: LogStore, ownership: Ownership, peers: Peers) -> None:
        self._store = store
        self._ownership = ownership
        self._peers = peers
        self._opening = asyncio.Semaphore(OPENING_LOGS_MAX)

    async def remove_orphans(self, known: set[UUID], deleted: set[UUID]) -> set[UUID]:
        """Remove the files of topics that a crash kept from existing, or from going whole;
        returns which of the known topics have files.

        Files with records of a topic that was not `deleted` are left alone: it is the catalog
        that has lost something then. Raises CatalogError if it has lost all.
        """
        for orphan in orphans(self._store, known, deleted):
            await self.remove(orphan, "(unknown)")
        return self._store.topic_ids() & known

    def gone(self, deleted: set[UUID]) -> set[UUID]:
        """Those of `deleted` topics that have no files."""
        return deleted - self._store.topic_ids() if deleted else set()

    async def open(self, row: TopicRow, config: LogConfig, first: int = 0) -> list[PartitionLog]:
        """The logs of a topic that exists, from partition `first` on, offline where they cannot be
        opened."""
        indexes = range(first, row.partition_count)
        return await asyncio.gather(*(self._open_known(row, index, config) for index in indexes))

    def offline(self, row: TopicRow, reason: str) -> list[PartitionLog]:
        """Stands for a topic of which no log can be used."""
        _log.error(
            "topic %r (id %s) and its %d partitions are offline: %s",
            row.name,
            row.id.hex,
            row.partition_count,
            reason,
        )
        indexes = range(row.partition_count)
        return [self._elsewhere(row.id, index) or OfflineLog(reason) for index in indexes]

    async def make(
        self, topic_id: UUID, indexes: Iterable[int], config: LogConfig
    ) -> list[PartitionLog]:
        """New logs, durably there: all of them or, after an error, none that is open.

        Raises RequestError(KAFKA_STORAGE_ERROR).
        """
        results = await asyncio.gather(
            *(self._make(topic_id, index, config) for index in indexes), return_exceptions=True
        )
        logs = [result for result in results if not isinstance(result, BaseException)]
        try:
            for result in results:
                if isinstance(result, BaseException):
                    raise result
            await self._store.sync_topic(topic_id)
        except BaseException as error:
            for log in logs:
                await log.close()
            if isinstance(error, OSError | CorruptLogError):
                raise RequestError(
                    ErrorCode.KAFKA_STORAGE_ERROR, f"its logs cannot be made: {error}"
                ) from error
            raise
        return logs

    async def let_go(self, topic_id: UUID, name: str) -> None:
        """Stop using the logs of a topic whose files another worker removes."""
        try:
            await self._store.discard_topic(topic_id)
        except (RequestError, OSError) as error:
            _log.warning("topic %s (id %s) was not let go: %s", name, topic_id.hex, error)

    async def remove(self, topic_id: UUID, name: str) -> None:
        """Remove a topic's files; what cannot be removed now is an orphan at the next start."""
        try:
            await self._store.delete_topic(topic_id)
        except (RequestError, OSError) as error:
            _log.warning(
                "files of the deleted topic %s (id %s) stay until the next start: %s",
                name,
                topic_id.hex,
                error,
            )

    async def _make(self, topic_id: UUID, index: int, config: LogConfig) -> PartitionLog:
        elsewhere = self._elsewhere(topic_id, index)
        if elsewhere is None:
            return await self._open(topic_id, index, config)
        await self._store.make_directory(topic_id, index)
        return elsewhere

    async def _open(
        self, topic_id: UUID, index: int, config: LogConfig, *, must_exist: bool = False
    ) -> PartitionLog:
        async with self._opening:
            return await self._store.open_log(topic_id, index, config, must_exist=must_exist)

    def _elsewhere(self, topic_id: UUID, index: int) -> RemoteLog | None:
        """What stands for the partition if another worker serves it."""
        owner = self._ownership.owner_of_partition(topic_id, index)
        if owner == self._ownership.index:
            return None
        return RemoteLog(self._peers, owner, topic_id, index)

    async def _open_known(self, row: TopicRow, index: int, config: LogConfig) -> PartitionLog:
        if elsewhere := self._elsewhere(row.id, index):
            return elsewhere
        try:
            return await self._open(row.id, index, config, must_exist=True)
        except (CorruptLogError, RequestError, OSError) as error:
            _log.error("partition %s-%d is offline: %s", row.name, index, error)
            return OfflineLog(str(error))
