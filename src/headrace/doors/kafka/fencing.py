"""Which code a client is told that its producer is fenced with.

Since KIP-588 there is one for it; before, every client took INVALID_PRODUCER_EPOCH for it.
"""

from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["code_for"]


def code_for(error: RequestError, api_version: int, *, since: int) -> ErrorCode:
    """The error's code, for a client of `api_version`, where PRODUCER_FENCED is known `since`."""
    if error.code is ErrorCode.PRODUCER_FENCED and api_version < since:
        return ErrorCode.INVALID_PRODUCER_EPOCH
    return error.code
