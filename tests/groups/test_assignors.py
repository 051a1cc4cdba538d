from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.groups.assignors import range_, uniform
from headrace.groups.balanced import balanced
from headrace.groups.subscribers import Subscriber

A, B = UUID(int=1), UUID(int=2)
ALL = [uniform, range_, balanced]


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
    weights=st.lists(st.floats(0, 1e9), min_size=10, max_size=10),
    data=st.data(),
)
def test_every_wanted_partition_has_one_reader_that_wants_it(assign, wants, sizes, weights, data):
    size_of = dict(zip((A, B), sizes, strict=True))
    left = [(topic, n) for topic, size in size_of.items() for n in range(size + 1)]
    every = tuple(left)
    subscribers = []
    for number, topics in enumerate(wants):
        current = data.draw(st.sets(st.sampled_from(left)) if left else st.just(set()))
        left = [partition for partition in left if partition not in current]
        subscribers.append(Subscriber(f"m{number}", None, frozenset(topics), frozenset(current)))
    assignment = assign(subscribers, size_of, {pair: weights[pair[1]] for pair in every})
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
    before = uniform(members(count), sizes, {})
    assert max(counts(before)) - min(counts(before)) <= 1
    after = uniform(members(then, given=before), sizes, {})
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
    assignment = uniform(mixed, {A: 4, B: 4}, {})
    assert counts(assignment) == [4, 4]
    assert assignment["both"] == {(B, n) for n in range(4)}


def test_range_gives_neighbours_and_the_same_numbers_of_each_topic():
    assignment = range_(members(2, (A, B)), {A: 5, B: 5}, {})
    assert assignment["m0"] == {(topic, n) for topic in (A, B) for n in range(3)}
    assert assignment["m1"] == {(topic, n) for topic in (A, B) for n in (3, 4)}
