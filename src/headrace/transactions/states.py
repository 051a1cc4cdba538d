"""The states of a transactional id, and which may follow which.

A transaction is decided when it is prepared: from then on it will be committed (or aborted)
everywhere, whatever crashes. It is complete when every partition and group has been told.
"""

from enum import Enum
from typing import Final

__all__ = ["AT_REST", "FOLLOWING", "PREPARED", "State"]


class State(Enum):
    """Values are Kafka's names, as DescribeTransactions shows them."""

    EMPTY = "Empty"
    """Its producer has an id and an epoch, and has not begun a transaction since."""
    ONGOING = "Ongoing"
    PREPARE_COMMIT = "PrepareCommit"
    PREPARE_ABORT = "PrepareAbort"
    COMPLETE_COMMIT = "CompleteCommit"
    COMPLETE_ABORT = "CompleteAbort"


AT_REST: Final = frozenset({State.EMPTY, State.COMPLETE_COMMIT, State.COMPLETE_ABORT})
PREPARED: Final = frozenset({State.PREPARE_COMMIT, State.PREPARE_ABORT})

FOLLOWING: Final[dict[State, frozenset[State]]] = {
    State.EMPTY: frozenset({State.EMPTY, State.ONGOING, State.COMPLETE_ABORT}),
    State.ONGOING: frozenset({State.ONGOING, State.PREPARE_COMMIT, State.PREPARE_ABORT}),
    State.PREPARE_COMMIT: frozenset({State.COMPLETE_COMMIT}),
    State.PREPARE_ABORT: frozenset({State.COMPLETE_ABORT}),
    State.COMPLETE_COMMIT: frozenset({State.EMPTY, State.ONGOING, State.COMPLETE_ABORT}),
    State.COMPLETE_ABORT: frozenset({State.EMPTY, State.ONGOING, State.COMPLETE_ABORT}),
}
"""COMPLETE_ABORT comes from a state at rest when a producer aborts what it never wrote anything
to, and gets a new epoch for it (KIP-890)."""
