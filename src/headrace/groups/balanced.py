"""The assignor `balanced`: as `uniform`, but of what partitions carry.

What a partition weighs is what its reader has to take on, in bytes/s (see `broker.load`); on top of
that each counts IDLE_SHARE of the mean for itself, so that idle ones are shared out too.

It is sticky first. When a member comes or goes, or topics change, partitions move only while that
evens out more than SLACK of what a member carries on average, or while a member would have nothing
though another has two. When nothing but loads has changed, two things must be true:

- some partition's share of the load is another one, by more than NOISE, than when the group was
  assigned or last judged (`has_shifted`): what swings by +-20 % around the same never is
- moving saves more than WORTH (`rebalanced`). Two savings count: the part that comes off the load
  of the member that carries most, and the part that comes off the load beside which a partition is
  read, on average (a hot partition is as heavy without three others, but those three are not)

What must not enter: when loads are looked at, and how they are measured.
"""

from collections.abc import Collection, Container, Iterable, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from headrace.groups.spreading import spread
from headrace.groups.subscribers import (
    Assignment,
    Sizes,
    Subscriber,
    Weights,
    owners_now,
    readers_of,
    shares,
)
from headrace.groups.topics_image import TopicPartition

__all__ = ["as_if_fair", "balanced", "has_shifted", "rebalanced"]

SLACK: Final = 0.1
"""Of the mean load of a member: unevenness that is left alone when everything is assigned anew."""

NOISE: Final = 1.5
"""Between 0.8 and 1.2 of the same lies this factor."""

WORTH: Final = 0.2
"""What a move must save, of 1 + 1, when nothing but loads has changed."""

IDLE_SHARE: Final = 0.1
"""What an idle partition weighs, of the mean weight."""


def balanced(members: Sequence[Subscriber], sizes: Sizes, weights: Weights) -> Assignment:
    """Whoever carries most carries about as little as it can; stays as it is while that is fair."""
    readers = readers_of(members, sizes)
    weighed = _with_own_weight(readers, sizes, weights)
    worth = SLACK * sum(weighed.values()) / len(members)
    return shares(members, spread(weighed, readers, owners_now(members), worth=worth))


def as_if_fair(shares: Iterable[Collection[TopicPartition]]) -> Weights:
    """Weights by which this is a fair assignment: of a group that comes back after a restart, which
    must not be assigned anew because nobody remembers why it has what it has."""
    return {partition: 1 / len(share) for share in shares for partition in share}


def has_shifted(before: Weights, now: Weights, sizes: Sizes) -> bool:
    """Whether any partition carries another share of the whole than before."""
    then_shares, now_shares = (_shares_of_mean(weights, sizes) for weights in (before, now))
    return any(
        not share / NOISE <= then_shares[partition] <= share * NOISE
        for partition, share in now_shares.items()
    )


def _shares_of_mean(weights: Weights, sizes: Sizes) -> dict[TopicPartition, float]:
    weighed = _with_own_weight(sizes, sizes, weights)
    mean = sum(weighed.values()) / max(len(weighed), 1)
    return {partition: weight / mean for partition, weight in weighed.items()}


def rebalanced(members: Sequence[Subscriber], sizes: Sizes, weights: Weights) -> Assignment | None:
    """As `balanced`, if that is worth disturbing a group that has what it shall have; else None."""
    weighed = _with_own_weight(readers_of(members, sizes), sizes, weights)
    target = balanced(members, sizes, weights)
    before = _Burden.of(weighed, [member.current for member in members])
    after = _Burden.of(weighed, target.values())
    if not before.most:
        return None
    left = after.most / before.most + after.shared / before.shared
    return target if 2 - left > WORTH else None


def _with_own_weight(
    topics: Container[UUID], sizes: Sizes, weights: Weights
) -> dict[TopicPartition, float]:
    weighed = {
        (topic, index): max(weights.get((topic, index), 0.0), 0.0)
        for topic, size in sizes.items()
        if topic in topics
        for index in range(size)
    }
    own = IDLE_SHARE * sum(weighed.values()) / max(len(weighed), 1) or 1.0
    return {partition: weight + own for partition, weight in weighed.items()}


class _Burden(NamedTuple):
    most: float
    """The load of whoever carries most."""
    shared: float
    """The load of each partition's reader, summed over all partitions."""

    @classmethod
    def of(cls, weighed: Weights, given: Iterable[Collection[TopicPartition]]) -> "_Burden":
        most = shared = 0.0
        for mine in given:
            load = sum(weighed.get(partition, 0.0) for partition in mine)
            most = max(most, load)
            shared += len(mine) * load
        return cls(most, shared)
