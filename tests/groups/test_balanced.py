"""The assignor that looks at what partitions carry."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.groups.balanced import balanced, has_shifted, rebalanced
from headrace.groups.subscribers import Subscriber

A, B = UUID(int=1), UUID(int=2)
HOT = (A, 0)


def members(count, given=None, topics=(A,)):
    given = given or {}
    return [
        Subscriber(f"m{n}", None, frozenset(topics), given.get(f"m{n}", frozenset()))
        for n in range(count)
    ]


def carry(*weights):
    return {(A, index): float(weight) for index, weight in enumerate(weights)}


def counts(assignment):
    return sorted(len(partitions) for partitions in assignment.values())


def assigned(count, weights, before=None):
    return balanced(members(count, before), {A: len(weights)}, weights)


def moved(before, after):
    return sum(len(after[name] - before.get(name, frozenset())) for name in after)


def test_hot_partition_does_not_sit_with_three_others():
    before = assigned(2, carry(*[1] * 8))
    weights = carry(100, *[1] * 7)
    after = rebalanced(members(2, before), {A: 8}, weights)
    assert frozenset({HOT}) in after.values()
    assert moved(before, after) == 3
    assert rebalanced(members(2, after), {A: 8}, weights) is None


def test_idle_partitions_are_shared_out():
    assert counts(assigned(3, carry(*[0] * 9))) == [3, 3, 3]
    assert counts(assigned(4, carry(100, 0, 0, 0))) == [1, 1, 1, 1]


def test_what_is_fair_enough_stays():
    before = {"m0": frozenset({(A, 0), (A, 1)}), "m1": frozenset({(A, 2), (A, 3)})}
    assert assigned(2, carry(100, 104, 101, 95), before) == before


def test_member_that_comes_gets_its_share_and_one_that_goes_leaves_it_to_all():
    two = assigned(2, carry(*range(1, 13)))
    three = assigned(3, carry(*range(1, 13)), two)
    loads = [sum(index + 1 for _, index in mine) for mine in three.values()]
    assert max(loads) - min(loads) <= 6
    assert moved(two, three) == len(three["m2"])
    again = assigned(2, carry(*range(1, 13)), three)
    assert moved(three, again) == len(three["m2"])


@given(
    weights=st.lists(st.floats(0, 1e12), min_size=1, max_size=12),
    extra=st.integers(0, 4),
    data=st.data(),
)
def test_as_many_members_as_partitions_have_one_each(weights, extra, data):
    count = len(weights) + extra
    owners = data.draw(st.lists(st.integers(0, count), min_size=len(weights)))
    before = {
        f"m{n}": frozenset((A, index) for index in range(len(weights)) if owners[index] == n)
        for n in range(count)
    }
    after = assigned(count, carry(*weights), before)
    assert counts(after)[-1] == 1


@given(
    weights=st.lists(st.floats(0, 1e9), min_size=1, max_size=20),
    count=st.integers(1, 6),
    data=st.data(),
)
def test_what_was_evened_out_once_stays(weights, count, data):
    owners = data.draw(st.lists(st.integers(0, count - 1), min_size=len(weights)))
    before = {
        f"m{n}": frozenset((A, index) for index in range(len(weights)) if owners[index] == n)
        for n in range(count)
    }
    sizes = {A: len(weights)}
    after = balanced(members(count, before), sizes, carry(*weights))
    assert balanced(members(count, after), sizes, carry(*weights)) == after
    assert rebalanced(members(count, after), sizes, carry(*weights)) is None


@given(noise=st.lists(st.floats(0.8, 1.2), min_size=1, max_size=24))
def test_noise_of_a_fifth_is_no_shift(noise):
    sizes = {A: len(noise)}
    assert not has_shifted({}, carry(*noise), sizes)
    assert not has_shifted(carry(*noise), carry(*[1000] * len(noise)), sizes)


def test_one_that_doubles_or_halves_is_a_shift_and_all_together_is_none():
    base = [100, 100, 100, 30, 5, 0]
    assert has_shifted(carry(*base), carry(200, *base[1:]), {A: 6})
    assert has_shifted(carry(*base), carry(40, *base[1:]), {A: 6})
    assert not has_shifted(carry(*base), carry(*(7 * weight for weight in base)), {A: 6})
    assert not has_shifted(carry(*base), carry(*base[:5], 1), {A: 6}), "next to nothing"


@pytest.mark.parametrize("times", [8, 10, 15, 30, 1000])
def test_what_is_eight_times_as_hot_gets_a_reader_with_less_beside_it(times):
    before = assigned(2, carry(*[1] * 8))
    after = rebalanced(members(2, before), {A: 8}, carry(times, *[1] * 7))
    assert after is not None
    (share,) = (mine for mine in after.values() if HOT in mine)
    assert len(share) <= 2


def test_only_who_subscribes_is_given_weight():
    readers = [
        Subscriber("both", None, frozenset({A, B}), frozenset()),
        Subscriber("a", None, frozenset({A}), frozenset()),
    ]
    weights = {(A, 0): 1.0, (A, 1): 1.0, (B, 0): 50.0}
    assert balanced(readers, {A: 2, B: 1}, weights) == {
        "both": {(B, 0)},
        "a": {(A, 0), (A, 1)},
    }
