"""The judge of the kill tests finds every kind of failure in made-up histories."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.testing.history import PROBLEMS_MAX, History, Place, Sent, judge

Log = list[tuple[Place, Sent]]


def told(log: Log) -> History:
    """A history in which all of `log` was acknowledged and seen."""
    history = History()
    for (partition, offset), (producer, sequence) in log:
        history.acked(partition, offset, producer, sequence)
        history.saw(partition, offset, producer, sequence)
    return history


def written(*streams: tuple[int, str, int]) -> Log:
    """A healthy log: (partition, producer, count) one after the other."""
    ends: dict[int, int] = {}
    log = []
    for partition, producer, count in streams:
        for sequence in range(count):
            offset = ends.get(partition, 0)
            ends[partition] = offset + 1
            log.append((Place(partition, offset), Sent(producer, sequence)))
    return log


HEALTHY = written((0, "a", 4), (0, "b", 3), (1, "a", 2))


def test_a_healthy_history_is_believed() -> None:
    assert judge(told(HEALTHY), HEALTHY) == []


def test_an_unanswered_send_may_be_there_or_not() -> None:
    history = told(HEALTHY[:3])
    assert judge(history, HEALTHY) == []
    assert judge(history, HEALTHY[:3]) == []


def test_holes_between_offsets_are_legal() -> None:
    log = [(Place(0, 10 * number), Sent("a", number)) for number in range(5)]
    assert judge(told(log), log) == []


def test_an_acknowledged_record_that_is_gone_is_lost() -> None:
    for missing in range(len(HEALTHY)):
        problems = judge(told(HEALTHY), HEALTHY[:missing] + HEALTHY[missing + 1 :])
        assert any("lost" in problem for problem in problems)


def test_a_lost_tail_is_lost() -> None:
    history = History()
    history.acked(1, 1, "a", 1)
    (problem,) = judge(history, HEALTHY[:-1])
    assert problem.startswith("lost: number 1 of a was acknowledged at offset 1 of partition 1")


def test_a_record_seen_before_a_crash_and_gone_after_it_is_lost() -> None:
    history = History()
    history.saw(0, 7, "a", 4)
    (problem,) = judge(history, HEALTHY)
    assert "lost: number 4 of a was seen" in problem


def test_a_record_that_is_there_twice_is_a_duplicate() -> None:
    log = [*HEALTHY, (Place(1, 2), Sent("a", 1))]
    (problem,) = judge(told(HEALTHY), log)
    assert "duplicate: number 1 of a at offset 2 of partition 1" in problem


def test_the_same_number_in_another_partition_is_none() -> None:
    log = written((0, "a", 1), (1, "a", 1), (1, "b", 1))
    assert judge(told(log), log) == []


@pytest.mark.parametrize("places", [(0, 1), (1, 3), (4, 5)])
def test_records_that_changed_places_are_out_of_order(places: tuple[int, int]) -> None:
    one, other = places
    log = list(HEALTHY)
    log[one], log[other] = (log[one][0], log[other][1]), (log[other][0], log[one][1])
    problems = judge(History(), log)
    assert any("out of order" in problem for problem in problems)
    assert any("two values" in problem for problem in judge(told(HEALTHY), log))


def test_a_hole_in_a_stream_is_out_of_order() -> None:
    log = [(Place(0, 0), Sent("a", 0)), (Place(0, 1), Sent("a", 2))]
    (problem,) = judge(told(log), log)
    assert "number 1 is due" in problem


def test_two_values_at_one_offset_are_found() -> None:
    history = told(HEALTHY)
    history.saw(0, 0, "b", 9)
    (problem,) = judge(history, HEALTHY)
    assert "two values" in problem


def test_two_acknowledgements_at_different_offsets_are_found() -> None:
    history = told(HEALTHY)
    history.acked(0, 6, "a", 0)
    assert any(problem.startswith("moved") for problem in judge(history, HEALTHY))


def test_a_reader_that_gives_an_offset_twice_is_found() -> None:
    assert any("twice" in problem for problem in judge(History(), [*HEALTHY, HEALTHY[-1]]))


def test_many_problems_are_counted_and_few_told() -> None:
    problems = judge(told(written((0, "a", 500))), [])
    assert len(problems) == PROBLEMS_MAX + 1
    assert problems[-1] == f"and {1000 - PROBLEMS_MAX} more"


@given(
    streams=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from("abc"), st.integers(1, 6)),
        min_size=1,
        max_size=9,
        unique_by=lambda stream: stream[:2],
    ),
    data=st.data(),
)
def test_any_damage_to_what_was_acknowledged_is_found(
    streams: list[tuple[int, str, int]], data: Any
) -> None:
    log = written(*streams)
    history = told(log)
    assert judge(history, log) == []
    at = data.draw(st.integers(0, len(log) - 1))
    place, sent = log[at]
    match data.draw(st.sampled_from(["lose", "change", "repeat", "swap"])):
        case "lose":
            log.pop(at)
        case "change":
            log[at] = place, Sent(sent.producer, sent.sequence + 1)
        case "repeat":
            log.append((Place(place.partition, 10**6), sent))
        case "swap":
            other = data.draw(st.integers(0, len(log) - 1))
            if log[other][1] == sent:
                return
            log[at], log[other] = (place, log[other][1]), (log[other][0], sent)
    assert judge(history, log)
