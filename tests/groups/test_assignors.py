from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.groups.assignors import Subscriber, balanced, range_, uniform

A, B = UUID(int=1), UUID(int=2)
ALL = [uniform, range_, balanced]


def weightless(_: object) -> float:
    return 0.0


def members(count, topics=(A,), given=None):
    given = given or {}
    return [
        Subscriber(f"m{n}", None, frozenset(topics), given.get(f"m{n}", frozenset()))
        for n in range(count)
    ]


def counts(assignment):
    return sorted(len(partitions) for partitions in assignment.values())


@pytest.mark.parametrize("assign", ALL)
@given(
    wants=st.lists(st.sets(st.sampled_from([A, B])), min_size=1, max_size=6),
    sizes=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    weights=st.lists(st.floats(0, 1e9), min_size=9, max_size=9),
    data=st.data(),
)
def test_every_wanted_partition_has_one_reader_that_wants_it(assign, wants, sizes, weights, data):
    size_of = dict(zip((A, B), sizes, strict=True))
    left = [(topic, n) for topic, size in size_of.items() for n in range(size + 1)]
    subscribers = []
    for number, topics in enumerate(wants):
        current = data.draw(st.sets(st.sampled_from(left)) if left else st.just(set()))
        left = [partition for partition in left if partition not in current]
        subscribers.append(Subscriber(f"m{number}", None, frozenset(topics), frozenset(current)))
    assignment = assign(subscribers, size_of, lambda partition: weights[partition[1]])
    given = [partition for partitions in assignment.values() for partition in partitions]
    wanted = set().union(*wants)
    assert sorted(given) == [
        (t, n) for t, size in size_of.items() if t in wanted for n in range(size)
    ]
    for subscriber in subscribers:
        assert {topic for topic, _ in assignment[subscriber.member_id]} <= subscriber.topics


@given(st.integers(1, 12), st.integers(0, 40), st.integers(1, 12))
def test_uniform_is_even_and_moves_no_more_than_it_must(count, partitions, then):
    sizes = {A: partitions}
    before = uniform(members(count), sizes, weightless)
    assert max(counts(before)) - min(counts(before)) <= 1
    after = uniform(members(then, given=before), sizes, weightless)
    assert max(counts(after)) - min(counts(after)) <= 1
    moved = sum(len(after[name] - before.get(name, frozenset())) for name in after)
    if then >= count:  # only what newcomers get moves
        assert moved == sum(len(after[f"m{n}"]) for n in range(count, then))
    else:  # only what those who left had moves
        assert moved == sum(len(before[f"m{n}"]) for n in range(then, count))


def test_uniform_evens_out_over_different_subscriptions():
    mixed = [
        Subscriber("both", None, frozenset({A, B}), frozenset()),
        Subscriber("a", None, frozenset({A}), frozenset()),
    ]
    assignment = uniform(mixed, {A: 4, B: 4}, weightless)
    assert counts(assignment) == [4, 4]
    assert assignment["both"] == {(B, n) for n in range(4)}


def test_range_gives_neighbours_and_the_same_numbers_of_each_topic():
    assignment = range_(members(2, (A, B)), {A: 5, B: 5}, weightless)
    assert assignment["m0"] == {(topic, n) for topic in (A, B) for n in range(3)}
    assert assignment["m1"] == {(topic, n) for topic in (A, B) for n in (3, 4)}


def test_balanced_does_not_put_three_others_beside_a_hot_partition():
    weights = {(A, 0): 900.0, (A, 1): 100.0, (A, 2): 100.0, (A, 3): 100.0}
    assignment = balanced(members(2), {A: 4}, weights.__getitem__)
    assert {(A, 0)} in assignment.values()


def test_balanced_keeps_what_is_fair_enough():
    before = {"m0": frozenset({(A, 0), (A, 1)}), "m1": frozenset({(A, 2), (A, 3)})}
    weights = {(A, 0): 100.0, (A, 1): 104.0, (A, 2): 101.0, (A, 3): 95.0}
    assert balanced(members(2, given=before), {A: 4}, weights.__getitem__) == before


def test_balanced_shares_idle_partitions_out():
    assert counts(balanced(members(3), {A: 9}, weightless)) == [3, 3, 3]
