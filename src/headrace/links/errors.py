"""What became of a request that has no answer.

Apart from the links themselves, so that who only tells the two apart need not load them.
"""

from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["LinkDown", "LinkLost"]


class LinkDown(RequestError):
    """Certain: the request was not sent."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.BROKER_NOT_AVAILABLE, message)


class LinkLost(RequestError):
    """Uncertain: the request was sent, and may have been carried out or not."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.NETWORK_EXCEPTION, message)
