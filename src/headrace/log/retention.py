"""Which leading segments retention no longer keeps: a pure decision, no clock, no disk.

Kafka's rules (retention.ms, retention.bytes): a segment goes when its greatest record timestamp
is older than the age allowed, or when the log is still at least as large as allowed without it.
Only leading segments go, in order, so that offsets stay without holes. The last segment is the
active one and is never among them: roll it first (`should_roll`).

The time is the caller's, and should not follow a wall clock that jumps ahead, which would make
everything too old at once: the broker asks its `retention_clock`.
"""

from collections.abc import Sequence
from itertools import pairwise

from headrace.log.contract import LogConfig
from headrace.log.segment import SegmentFacts

__all__ = ["expired_segments", "should_roll"]


def expired_segments(segments: Sequence[SegmentFacts], config: LogConfig, now_ms: int) -> int:
    """How many of the leading `segments` (the last one being active) are to be deleted."""
    if config.retain or not config.delete:
        return 0
    size = sum(segment.size_bytes for segment in segments)
    count = 0
    for segment, following in pairwise(segments):
        too_old = config.retention_ms >= 0 and (
            _newest_ms(segment, following, now_ms) < now_ms - config.retention_ms
        )
        too_much = config.retention_bytes >= 0 and (
            size - segment.size_bytes >= config.retention_bytes
        )
        if not too_old and not too_much:
            break
        size -= segment.size_bytes
        count += 1
    return count


def should_roll(active: SegmentFacts, config: LogConfig, now_ms: int) -> bool:
    """Whether the active segment is to be sealed, so that it can age and go.

    By segment_age_ms since its first batch was written here, for compaction also by
    compaction_lag_ms_max; and when retention by time would take all of it. The latter also asks
    that it has been here for retention_ms, so that old records written today are not gone within
    the minute.
    """
    if active.size_bytes == 0:
        return False
    age_ms = now_ms - active.first_append_ms
    age_ms_max = config.segment_age_ms
    if config.compact:
        age_ms_max = min(age_ms_max, config.compaction_lag_ms_max)
    if age_ms >= age_ms_max:
        return True
    return (
        config.delete
        and not config.retain
        and 0 <= config.retention_ms <= age_ms
        and active.max_timestamp < now_ms - config.retention_ms
    )


def _newest_ms(segment: SegmentFacts, following: SegmentFacts, now_ms: int) -> int:
    """The greatest record timestamp; for records without one, when the next segment began."""
    if segment.max_timestamp >= 0:
        return segment.max_timestamp
    return following.first_append_ms if following.first_append_ms >= 0 else now_ms
