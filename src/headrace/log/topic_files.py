"""The directories of topics, whoever has logs open in them.

What must not enter: what is in a segment, which topics there ought to be.
"""

import os
import re
from typing import Final
from uuid import UUID

from headrace.log import disk
from headrace.log.segment import DELETED_SUFFIX, LOG_SUFFIX

__all__ = ["TOPICS_NAME", "TopicFiles"]

TOPICS_NAME: Final = "topics"

_TOPIC_NAME: Final = re.compile("[0-9a-f]{32}")


class TopicFiles:
    """Of one data directory. All of it blocks on the disk and raises OSError."""

    def __init__(self, directory: str) -> None:
        self.path = os.path.join(directory, TOPICS_NAME)

    def topic_ids(self) -> set[UUID]:
        """The topics on the disk."""
        names = disk.list_names(self.path)
        return {UUID(hex=name) for name in names if _TOPIC_NAME.fullmatch(name)}

    def holds_data(self, topic_id: UUID) -> bool:
        """Whether there are bytes in any segment of the topic."""
        topic = os.path.join(self.path, topic_id.hex)
        partitions = [os.path.join(topic, name) for name in disk.list_names(topic)]
        return any(
            name.endswith(LOG_SUFFIX) and disk.size_of(os.path.join(partition, name))
            for partition in partitions
            if disk.is_directory(partition)
            for name in disk.list_names(partition)
        )

    def remove(self, topic_id: UUID) -> None:
        """Durably gone at once; the bytes follow. A topic that is not there is fine."""
        path = os.path.join(self.path, topic_id.hex)
        doomed = path + DELETED_SUFFIX
        try:
            disk.rename(path, doomed)
        except FileNotFoundError:
            return
        disk.fsync_directory(self.path)
        disk.remove_tree(doomed)

    def leftovers(self) -> list[str]:
        """Paths of topics whose removal a crash interrupted."""
        names = disk.list_names(self.path)
        return [os.path.join(self.path, name) for name in names if name.endswith(DELETED_SUFFIX)]
