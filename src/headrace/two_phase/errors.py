"""What can go wrong between a program and the log. None of these decides a prepared transaction."""

from headrace.wire.errors import ErrorCode

__all__ = ["Fenced", "OutOfTurn", "Refused", "TwoPhaseError", "Unanswered"]


class TwoPhaseError(Exception):
    """All of the below."""


class OutOfTurn(TwoPhaseError):
    """A call that has no place where the transaction is now; nothing was asked of the broker."""


class Unanswered(TwoPhaseError):
    """No answer within `timeout_s`: what was asked for may have been done. An end may be asked for
    again; a transaction whose records did not get there can only be aborted."""


class Refused(TwoPhaseError):
    """The broker said no, and would again. `code` is its answer."""

    def __init__(self, what: str, code: ErrorCode) -> None:
        super().__init__(f"{what}: {code.name}")
        self.code = code


class Fenced(Refused):
    """Somebody else has the transactional id now, and what this one wrote is theirs to end."""
