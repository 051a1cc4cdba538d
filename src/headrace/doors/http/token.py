"""POST /oidc/v1/token: a client's id and secret for a bearer token (RFC 6749 sections 2.3.1, 4.4).

What the official Zerobus SDK asks before it opens a stream: the id and secret by HTTP Basic, and a
form with grant_type=client_credentials. What else the form says (scope, resource, privileges on
tables) is left alone: a token is good for all of the gRPC door.
What must not enter: what a token is.
"""

import base64
import binascii
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from headrace.broker.tokens import TOKEN_LIFE_S
from headrace.doors.http.head import Answer, Request

if TYPE_CHECKING:
    from headrace.broker.tokens import Tokens

__all__ = ["PATH", "answer_token"]

PATH: Final = "/oidc/v1/token"
_FIELDS_MAX: Final = 32
_JSON: Final = "application/json"


def answer_token(tokens: "Tokens", request: Request) -> Answer:
    """200 with a token, 400, 401 or 405; never says which of id and secret was wrong."""
    if not request.is_post:
        return Answer(b"POST only\n", status=HTTPStatus.METHOD_NOT_ALLOWED)
    try:
        form = parse_qs(request.body.decode(), max_num_fields=_FIELDS_MAX)
    except ValueError:
        return _refused(HTTPStatus.BAD_REQUEST, "invalid_request", "the form is malformed")
    if form.get("grant_type") != ["client_credentials"]:
        why = "only client_credentials is served"
        return _refused(HTTPStatus.BAD_REQUEST, "unsupported_grant_type", why)
    credentials = _basic(request.headers.get("authorization", "")) or (
        form.get("client_id", [""])[0],
        form.get("client_secret", [""])[0],
    )
    token = tokens.issue(*credentials)
    if token is None:
        return _refused(HTTPStatus.UNAUTHORIZED, "invalid_client", "no client has these")
    told = {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_LIFE_S}
    return Answer(json.dumps(told).encode(), _JSON)


def _basic(header: str) -> tuple[str, str] | None:
    """Id and secret, as they are."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    client_id, _, secret = text.partition(":")
    return client_id, secret


def _refused(status: HTTPStatus, error: str, why: str) -> Answer:
    told = {"error": error, "error_description": why}
    return Answer(json.dumps(told).encode(), _JSON, status)
