"""A topic and its partitions as the running broker knows them, and what may be a topic's name.

What must not enter: how topics come, change and go (`topics`).
"""

import re
from collections.abc import Iterable
from typing import Final

from headrace.broker.absent_log import OfflineLog
from headrace.broker.cluster.remote_log import RemoteLog
from headrace.broker.stats import Traffic
from headrace.broker.topic_configs import TopicConfig
from headrace.catalog.topics import TopicRow
from headrace.log.contract import PartitionLog
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["Partition", "Topic", "check_topic_name"]

_NAME: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")


class Partition:
    """A partition of a topic and its log; `log` is an OfflineLog if it could not be opened, and a
    RemoteLog if another worker serves it: then it is not `is_mine`."""

    __slots__ = ("index", "is_mine", "log", "produced_bytes", "topic")

    def __init__(self, topic: "Topic", index: int, log: PartitionLog) -> None:
        self.topic = topic
        self.index = index
        self.log = log
        self.is_mine = not isinstance(log, RemoteLog)
        self.produced_bytes = 0
        """Of batches handed to the log, retries of batches that were there already included. Where
        another worker serves the partition, as it was told last (`cluster.produced`)."""

    @property
    def is_offline(self) -> bool:
        return isinstance(self.log, OfflineLog)

    def is_usable(self) -> bool:
        """False if the log could not be opened, also if it failed since; for another worker's if
        that one cannot be reached."""
        if isinstance(self.log, RemoteLog):
            return self.log.is_reachable
        try:
            self.log.offsets()
        except RequestError:
            return False
        return True


class Topic:
    """What exists under a name. `config` is replaced whole, `partitions` only grows."""

    __slots__ = ("config", "created_ms", "id", "name", "partitions", "traffic")

    def __init__(self, row: TopicRow, config: TopicConfig, logs: Iterable[PartitionLog]) -> None:
        self.id = row.id
        self.name = row.name
        self.created_ms = row.created_ms
        self.config = config
        self.traffic = Traffic()
        self.partitions = [Partition(self, index, log) for index, log in enumerate(logs)]

    @property
    def produced_bytes(self) -> int:
        """By producers of this worker's partitions."""
        return sum(partition.produced_bytes for partition in self.partitions if partition.is_mine)


def check_topic_name(name: str | None) -> None:
    """Kafka's rule: 1 to 249 of `a-z A-Z 0-9 . _ -`, and neither `.` nor `..`.

    Raises RequestError INVALID_TOPIC_EXCEPTION.
    """
    if name is None or not _NAME.fullmatch(name) or name in (".", ".."):
        raise RequestError(
            ErrorCode.INVALID_TOPIC_EXCEPTION,
            f"{str(name)[:60]!r} is no topic name: 1 to 249 of a-z A-Z 0-9 . _ - are",
        )
