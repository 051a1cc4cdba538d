"""A share group as it is after a restart: all but deadlines, and where each member was told to be.

A member's epoch is not kept, so a heartbeat alone never costs a write: after a restart a member is
believed whichever epoch of the group it comes with, and told everything if that is not the last.
"""

from dataclasses import dataclass

from headrace.groups.states import State
from headrace.groups.topics_image import TopicPartition

__all__ = ["ShareGroupRecord", "ShareMemberRecord"]


@dataclass(frozen=True, slots=True)
class ShareMemberRecord:
    member_id: str
    rack_id: str | None
    client_id: str
    client_host: str
    names: frozenset[str]
    """Topics subscribed to."""
    target: frozenset[TopicPartition]
    """What it shall read in the group's epoch."""


@dataclass(frozen=True, slots=True)
class ShareGroupRecord:
    group_id: str
    state: State
    generation: int
    """The group epoch."""
    members: tuple[ShareMemberRecord, ...]
