"""Who may call: the bearer token in a call's headers, the same for every service of the door.

    authorization    Bearer TOKEN

A client may send none: whether one is asked for is the broker's matter. What must not enter: how
tokens are made.
"""

from typing import TYPE_CHECKING, Final

from headrace.doors.http2.call import Call
from headrace.doors.http2.status import GrpcError, Status

if TYPE_CHECKING:
    from headrace.broker.tokens import Tokens

__all__ = ["check_token"]

_SCHEME: Final = "bearer "


def check_token(tokens: "Tokens", call: Call) -> None:
    """Raises GrpcError UNAUTHENTICATED."""
    said = call.metadata("authorization") or ""
    token = said[len(_SCHEME) :] if said[: len(_SCHEME)].lower() == _SCHEME else ""
    if not tokens.accepts(token.strip()):
        why = "the token is not one of ours, or its time is over" if token else "a token is needed"
        raise GrpcError(Status.UNAUTHENTICATED, f"{why} (POST /oidc/v1/token)")
