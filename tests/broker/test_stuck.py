"""When a member counts as stuck, on a clock of the test's own."""

from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.stuck import Seen, Watched, judge

PATIENCE_MS = 60_000


def seen(offset: int, lag: int = 10, partition: int = 0) -> Seen:
    return Seen((("t", partition, offset),), lag)


def watch(*looks: tuple[int, Seen]) -> list[bool]:
    """(time, what is seen) in order -> whether the member is stuck after each look."""
    watched: Watched | None = None
    verdicts = []
    for now_ms, found in looks:
        watched = judge(watched, found, now_ms, PATIENCE_MS)
        verdicts.append(watched.is_stuck)
    return verdicts


def test_no_progress_with_data_for_as_long_as_the_patience_is_stuck():
    assert watch((0, seen(5)), (59_999, seen(5)), (60_000, seen(5))) == [False, False, True]


def test_progress_ends_it_and_the_patience_begins_anew():
    looks = ((0, seen(5)), (60_000, seen(5)), (61_000, seen(6)), (120_999, seen(6)))
    assert watch(*looks, (121_000, seen(6))) == [False, True, False, False, True]


def test_without_data_nobody_is_stuck():
    assert watch((0, seen(5, 0)), (10**9, seen(5, 0))) == [False, False]
    assert watch((0, seen(5)), (60_000, seen(5)), (60_001, seen(5, 0))) == [False, True, False]


def test_waiting_is_counted_from_when_data_came():
    looks = ((0, seen(5, 0)), (100_000, seen(5)), (159_999, seen(5)), (160_000, seen(5)))
    assert watch(*looks) == [False, False, False, True]


def test_one_partition_that_moves_is_progress():
    def both(first: int, second: int) -> Seen:
        return Seen((("t", 0, first), ("t", 1, second)), 10)

    assert watch((0, both(1, 1)), (50_000, both(1, 2)), (100_000, both(1, 3))) == [False] * 3


def test_going_back_on_purpose_is_movement_too():
    assert watch((0, seen(5)), (60_000, seen(5)), (60_001, seen(0))) == [False, True, False]


def test_other_partitions_are_a_new_beginning():
    looks = ((0, seen(5)), (59_000, seen(5, partition=1)), (61_000, seen(5, partition=1)))
    assert watch(*looks) == [False, False, False]


@given(st.lists(st.tuples(st.integers(0, 40_000), st.booleans(), st.booleans()), max_size=30))
def test_stuck_is_exactly_no_movement_with_data_for_the_patience(steps):
    """Against the definition, from the whole history."""
    now_ms = offset = 0
    watched: Watched | None = None
    still_since: int | None = None
    for wait_ms, moves, has_data in steps:
        now_ms += wait_ms
        offset += moves
        if not has_data:
            still_since = None
        elif moves or still_since is None:
            still_since = now_ms
        watched = judge(watched, seen(offset, 10 * has_data), now_ms, PATIENCE_MS)
        expected = still_since is not None and now_ms - still_since >= PATIENCE_MS
        assert watched.is_stuck == expected
