"""The assignor `balanced`: as `uniform`, but of what partitions carry.

What a partition weighs is what its reader has to take on, in bytes/s (see `broker.load`); on top of
that each counts IDLE_SHARE of the mean for itself, so that idle ones are shared out too.

It is sticky first. When a member comes or goes, or topics change, partitions move only while that
evens out more than SLACK of what a member carries on average, or while a member would have nothing
though another has two. When only the loads have changed, nothing moves unless that takes WORTH off
the load of the member that carries most, or off the load that a partition's reader carries on
average (one hot partition is as heavy without the three beside it, but those three are not).
Partitions whose loads differ by +-20 % by chance do not get there: the sum of several, and the mean
over minutes, differ by much less.

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

__all__ = ["balanced", "rebalanced"]

SLACK: Final = 0.1
"""Of the mean load of a member: unevenness that is left alone when everything is assigned anew."""

WORTH: Final = 0.2
"""The part of a load that must go for members to be disturbed when nothing but loads changed."""

IDLE_SHARE: Final = 0.1
"""What an idle partition weighs, of the mean weight."""


def balanced(members: Sequence[Subscriber], sizes: Sizes, weights: Weights) -> Assignment:
    """Whoever carries most carries about as little as it can; stays as it is while that is fair."""
    readers = readers_of(members, sizes)
    weighed = _with_own_weight(readers, sizes, weights)
    worth = SLACK * sum(weighed.values()) / len(members)
    return shares(members, spread(weighed, readers, owners_now(members), worth=worth))


def rebalanced(members: Sequence[Subscriber], sizes: Sizes, weights: Weights) -> Assignment | None:
    """As `balanced`, if that is worth to disturb a group that has what it shall have; else None."""
    weighed = _with_own_weight(readers_of(members, sizes), sizes, weights)
    target = balanced(members, sizes, weights)
    before = _Burden.of(weighed, [member.current for member in members])
    after = _Burden.of(weighed, target.values())
    kept = 1 - WORTH
    is_worth_it = after.most < kept * before.most or after.shared < kept * before.shared
    return target if is_worth_it else None


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
