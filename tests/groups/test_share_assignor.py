"""The assignor of share groups: everyone has something to read, everything has a reader."""

from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from headrace.groups.share_assignor import simple
from headrace.groups.subscribers import Assignment, Subscriber

TOPICS = [UUID(int=number) for number in range(1, 4)]
NOTHING = frozenset[tuple[UUID, int]]()


def subscribers(*topics: frozenset[UUID], had: Assignment | None = None) -> list[Subscriber]:
    names = [f"m{number}" for number in range(len(topics))]
    had = had or {}
    return [
        Subscriber(name, None, wanted, had.get(name, NOTHING))
        for name, wanted in zip(names, topics, strict=True)
    ]


def spread(assignment: Assignment) -> Counter[tuple[UUID, int]]:
    return Counter(partition for mine in assignment.values() for partition in mine)


wanted = st.lists(st.frozensets(st.sampled_from(TOPICS)), min_size=1, max_size=12)
sizes = st.dictionaries(st.sampled_from(TOPICS), st.integers(1, 5))


@given(wanted, sizes, wanted, sizes)
def test_all_is_read_by_subscribers_and_all_subscribers_read(before, sizes_before, after, sizes):
    had = simple(subscribers(*before), sizes_before)
    members = subscribers(*after, had=had)
    given_ = simple(members, sizes)

    assert given_.keys() == {member.member_id for member in members}
    subscribed = frozenset[UUID]().union(*after)
    assert spread(given_).keys() == {
        (topic, index)
        for topic, size in sizes.items()
        if topic in subscribed
        for index in range(size)
    }
    for member in members:
        mine = given_[member.member_id]
        assert {topic for topic, _ in mine} <= member.topics
        assert bool(mine) == bool(member.topics & sizes.keys())


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12))
def test_members_alike_are_spread_evenly_with_few_moves(before: int, after: int, size: int) -> None:
    everything = frozenset(TOPICS[:1])
    sizes = {TOPICS[0]: size}
    had = simple(subscribers(*[everything] * before), sizes)
    given_ = simple(subscribers(*[everything] * after, had=had), sizes)

    counts = [len(mine) for mine in given_.values()]
    readers = spread(given_).values()
    assert max(counts) - min(counts) <= 1
    assert max(readers) - min(readers) <= 1
    if after <= size:
        assert set(readers) == {1}
    else:
        assert set(counts) == {1}
    if before <= after <= size:
        kept = sum(len(had[name] & given_[name]) for name in had)
        assert kept >= size - (size // after + 1) * (after - before)


@given(wanted, sizes)
def test_assignment_that_is_good_stays(topics, sizes):
    once = simple(subscribers(*topics), sizes)
    twice = simple(subscribers(*topics, had=once), sizes)
    assert simple(subscribers(*topics, had=twice), sizes) == twice


def test_nobody_shares_nothing() -> None:
    assert simple([], {}) == {}
    assert simple(subscribers(frozenset(TOPICS)), {}) == {"m0": NOTHING}


@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 5))
def test_what_is_new_is_read_while_members_share_what_was_there(
    count: int, size: int, new: int
) -> None:
    members = [frozenset(TOPICS[:2])] * count
    had = simple(subscribers(*members), {TOPICS[0]: size})
    given_ = simple(subscribers(*members, had=had), {TOPICS[0]: size, TOPICS[1]: new})
    readers = spread(given_)
    assert len(readers) == size + new
    assert max(readers.values()) - min(readers.values()) <= 1
