from hypothesis import given
from hypothesis import strategies as st

from headrace.log.contract import LogConfig
from headrace.log.retention import expired_segments, should_roll
from headrace.log.segment import SegmentFacts

DAY_MS = 24 * 3600 * 1000
NOW_MS = 1000 * DAY_MS


def segments(*rows: tuple[int, int]) -> list[SegmentFacts]:
    """(bytes, greatest timestamp) of each; the last one is active."""
    return [
        SegmentFacts(at * 10, at * 10 + 10, size, timestamp, NOW_MS - (len(rows) - at) * DAY_MS)
        for at, (size, timestamp) in enumerate(rows)
    ]


def days_ago(days: float) -> int:
    return int(NOW_MS - days * DAY_MS)


def test_segments_older_than_the_retention_go():
    log = segments((100, days_ago(9)), (100, days_ago(8)), (100, days_ago(6)), (100, NOW_MS))
    assert expired_segments(log, LogConfig(), NOW_MS) == 2


def test_a_young_segment_keeps_older_ones_behind_it():
    log = segments((100, days_ago(1)), (100, days_ago(30)), (100, NOW_MS))
    assert expired_segments(log, LogConfig(), NOW_MS) == 0


def test_the_active_segment_stays_however_old():
    assert expired_segments(segments((100, 0)), LogConfig(), NOW_MS) == 0


def test_a_log_stays_at_least_as_large_as_it_may_be():
    log = segments((100, NOW_MS), (100, NOW_MS), (100, NOW_MS), (50, NOW_MS))
    for retention_bytes, gone in ((350, 0), (251, 0), (250, 1), (150, 2), (1, 3), (0, 3)):
        config = LogConfig(retention_bytes=retention_bytes)
        assert expired_segments(log, config, NOW_MS) == gone, retention_bytes


def test_retain_keeps_everything():
    log = segments((100, 0), (100, 0), (100, 0))
    config = LogConfig(retain=True, retention_bytes=1)
    assert expired_segments(log, config, NOW_MS) == 0
    assert expired_segments(log, LogConfig(retention_ms=-1), NOW_MS) == 0


def test_records_without_a_time_are_as_old_as_the_next_segment():
    log = [
        SegmentFacts(0, 10, 100, -1, days_ago(20)),
        SegmentFacts(10, 20, 100, -1, days_ago(8)),
        SegmentFacts(20, 30, 100, -1, days_ago(6)),
    ]
    assert expired_segments(log, LogConfig(), NOW_MS) == 1


def test_the_active_segment_is_sealed_with_age():
    young = SegmentFacts(0, 1, 100, NOW_MS, days_ago(6.9))
    old = SegmentFacts(0, 1, 100, NOW_MS, days_ago(7))
    assert not should_roll(young, LogConfig(), NOW_MS)
    assert should_roll(old, LogConfig(), NOW_MS)
    assert not should_roll(old._replace(size_bytes=0), LogConfig(), NOW_MS)


def test_the_active_segment_is_sealed_when_all_of_it_may_go():
    config = LogConfig(retention_ms=1000)
    expired = SegmentFacts(0, 1, 100, NOW_MS - 1001, NOW_MS - 1000)
    assert should_roll(expired, config, NOW_MS)
    assert not should_roll(expired._replace(max_timestamp=NOW_MS - 1000), config, NOW_MS)
    config.retain = True
    assert not should_roll(expired, config, NOW_MS)


def test_old_records_written_just_now_are_not_sealed():
    just_written = SegmentFacts(0, 1, 100, 0, NOW_MS - 10)
    assert not should_roll(just_written, LogConfig(), NOW_MS)


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 20)), min_size=1, max_size=12),
    st.integers(-1, 3000),
    st.integers(-1, 20),
)
def test_what_stays_is_what_the_rules_want(rows, retention_bytes, retention_days):
    log = segments(*((size, days_ago(days)) for size, days in rows))
    config = LogConfig(
        retention_bytes=retention_bytes,
        retention_ms=retention_days * DAY_MS if retention_days >= 0 else -1,
    )
    count = expired_segments(log, config, NOW_MS)
    assert 0 <= count < len(log)

    def goes(at: int) -> bool:
        rest = sum(segment.size_bytes for segment in log[at + 1 :])
        by_time = retention_days >= 0 and log[at].max_timestamp < days_ago(retention_days)
        return by_time or (retention_bytes >= 0 and rest >= retention_bytes)

    assert all(goes(at) for at in range(count))
    assert count == len(log) - 1 or not goes(count)
