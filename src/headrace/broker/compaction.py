"""Which logs are compacted, and when: the dirtiest first, one at a time, then a rest.

A log says itself whether it is due and what a pass did; one that fails is named in the log by
itself, counted here, and does not keep the others from their turn. What must not enter: what
compaction does with records.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from headrace.broker.broker_configs import BrokerConfigs
from headrace.broker.stats import CompactionStats
from headrace.broker.topics import Partition, Topics
from headrace.log.contract import CleaningState, PartitionLog
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["cleaning_states", "compact_due", "keep_compacted"]


async def keep_compacted(
    topics: Topics, configs: BrokerConfigs, stats: CompactionStats, now_ms: Callable[[], int]
) -> None:
    """Compact what is due, for ever; ends by cancellation. Both configurations may change."""
    while True:
        await asyncio.sleep(configs.integer("log.cleaner.backoff.ms") / 1000)
        map_bytes_max = configs.integer("log.cleaner.dedupe.buffer.size")
        await compact_due(topics, map_bytes_max, stats, now_ms)


async def compact_due(
    topics: Topics, map_bytes_max: int, stats: CompactionStats, now_ms: Callable[[], int]
) -> None:
    """One round: a pass over every log that is due at its beginning."""
    for log in _due_logs(topics, now_ms()):
        began_s = time.perf_counter()
        try:
            done = await log.clean(now_ms(), map_bytes_max)
        except RequestError as error:
            if error.code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:  # deleted meanwhile
                continue
            stats.failures += 1  # the log has said why
        else:
            stats.passes += 1
            stats.read_bytes += done.read_bytes
            stats.freed_bytes += done.freed_bytes
        stats.seconds += time.perf_counter() - began_s
        stats.last_ended_s = time.time()


def cleaning_states(topics: Topics, now_ms: int) -> Iterator[tuple[Partition, CleaningState]]:
    """How far compaction is behind, of compacted topics' partitions that can be used."""
    for topic in list(topics.by_name.values()):
        if topic.config.log.compact:
            for partition in list(topic.partitions):
                with suppress(RequestError):  # offline, which its topic shows
                    state = partition.log.cleaning(now_ms)
                    if state is not None:
                        yield partition, state


def _due_logs(topics: Topics, now_ms: int) -> list[PartitionLog]:
    """The dirtiest first."""
    due = [(part, state) for part, state in cleaning_states(topics, now_ms) if state.is_due]
    due.sort(key=lambda one: one[1].dirty_ratio, reverse=True)
    return [partition.log for partition, _ in due]
