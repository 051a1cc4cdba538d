"""The states of a group and, of a classic one, the only ways between them.

        REBALANCE           JOINED                ASSIGNED
Empty ------------> Preparing -------> Completing ---------> Stable
  |  ^                |  ^  ^              |                   |
  |  '--- DESERTED ---'  |  '- REBALANCE --'                   |
  |                      '------------ REBALANCE --------------'
  '-- DELETED --> Dead
"""

from enum import Enum
from types import MappingProxyType
from typing import Final

__all__ = ["TRANSITIONS", "Event", "State", "after"]


class State(Enum):
    """The values are the names that ListGroups and DescribeGroups show."""

    EMPTY = "Empty"
    """No members; offsets may remain."""
    PREPARING = "PreparingRebalance"
    """Waiting for every member to (re)join."""
    COMPLETING = "CompletingRebalance"
    """A new generation exists; waiting for its leader to hand in the assignment."""
    RECONCILING = "Reconciling"
    """Of next-generation groups only, whose states follow from their members: some have not yet
    what they shall have."""
    STABLE = "Stable"
    DEAD = "Dead"
    """Deleted. No request reaches it; its id is free for a new group."""


class Event(Enum):
    REBALANCE = "a member came, went or changed"
    JOINED = "everyone who will join has joined"
    DESERTED = "nobody is left to join"
    ASSIGNED = "the leader handed in the assignment"
    DELETED = "someone deleted the group, or nothing of it is left"


TRANSITIONS: Final = MappingProxyType(
    {
        (State.EMPTY, Event.REBALANCE): State.PREPARING,
        (State.COMPLETING, Event.REBALANCE): State.PREPARING,
        (State.STABLE, Event.REBALANCE): State.PREPARING,
        (State.PREPARING, Event.JOINED): State.COMPLETING,
        (State.PREPARING, Event.DESERTED): State.EMPTY,
        (State.COMPLETING, Event.ASSIGNED): State.STABLE,
        (State.EMPTY, Event.DELETED): State.DEAD,
    }
)


def after(state: State, event: Event) -> State:
    """Raises ValueError for an event that cannot happen in `state`: a bug, never a client."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ValueError(f"a group that is {state.value} cannot be told: {event.value}") from None
