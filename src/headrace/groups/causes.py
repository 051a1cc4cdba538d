"""Why a group rebalanced, in the few words that can be counted; the full text names members."""

from enum import Enum

__all__ = ["Cause"]


class Cause(Enum):
    JOINED = "joined"
    REJOINED = "rejoined"
    """A member came with other topics or metadata, or its leader saw something to reassign."""
    RETURNED = "returned"
    """A static member came back as another process, and differs."""
    LEFT = "left"
    SESSION_ENDED = "session_ended"
    NO_SYNC = "no_sync"
    """A member did not ask for its assignment in time."""
    TOO_MANY = "too_many"
    """A member no longer fits into the group."""
    CONVERTED = "converted"
    """Its last next-generation member is gone, and the classic ones are on their own again."""
    RESET = "reset"
    """An administrator moved its offsets and fenced its members."""
    UNKNOWN = "unknown"
    """It began before the broker did."""
