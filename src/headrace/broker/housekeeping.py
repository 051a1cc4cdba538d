"""What has to happen now and then without anybody asking: retention, segments that age.

One task walks all partitions in turn, so the work of one round is spread and never doubled.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from headrace.broker.topics import Topics
from headrace.wire.errors import RequestError

__all__ = ["INTERVAL_S_MAX", "keep_house"]

log = logging.getLogger("headrace.broker")

INTERVAL_S_MAX: Final = 60.0
"""Retention is looked at least this often, however the interval is configured."""


async def keep_house(topics: Topics, now_ms: Callable[[], int], interval_s: float) -> None:
    """Tidy every partition, for ever; ends by cancellation."""
    while True:
        await asyncio.sleep(min(interval_s, INTERVAL_S_MAX))
        await tidy_all(topics, now_ms())


async def tidy_all(topics: Topics, now_ms: int) -> int:
    """One round; returns how many segments were deleted. A partition that fails is named in the
    log and does not keep the others from their turn."""
    deleted = 0
    for topic in list(topics.by_name.values()):
        for partition in list(topic.partitions):
            try:
                deleted += await partition.log.tidy(now_ms)
            except (OSError, RequestError) as error:
                log.error("tidying %s-%d failed: %s", topic.name, partition.index, error)
    return deleted
