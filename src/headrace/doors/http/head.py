"""HTTP/1.1 as far as requests with a small body or none need it (RFC 9112).

Pure: bytes and meaning, no sockets and no clock (`connection` has those). Bodies have
a Content-Length, and come to paths that take one. What must not enter: which paths exist.
"""

from collections.abc import Container, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = [
    "BODY_BYTES_MAX",
    "HEAD_BYTES_MAX",
    "Answer",
    "BadRequest",
    "Request",
    "encode",
    "read_request",
]

HEAD_BYTES_MAX: Final = 16 * 1024
"""Request line and header fields together; more is answered with 431."""
BODY_BYTES_MAX: Final = 16 * 1024
"""More is answered with 413."""

_END: Final = b"\r\n\r\n"
_METHODS: Final = frozenset({"GET", "HEAD", "POST"})


class BadRequest(Exception):
    """The bytes are answered with `status` and the connection is closed."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Request(NamedTuple):
    path: str
    query: dict[str, list[str]]
    is_head: bool
    """The client wants the answer's head only."""
    keep_alive: bool
    is_post: bool = False
    """The client wants something done."""
    headers: Mapping[str, str] = MappingProxyType({})
    """By names in lower case."""
    body: bytes = b""


class Answer(NamedTuple):
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK


def read_request(received: bytearray, bodies: Container[str] = ()) -> tuple[Request, int] | None:
    """The first request in `received` and how many bytes it takes; None until it is all there.
    `bodies` are the paths whose POST may have a body.

    Raises BadRequest: 400, 403, 405, 413, 431, 505.
    """
    end = received.find(_END, 0, HEAD_BYTES_MAX)
    if end < 0:
        if len(received) >= HEAD_BYTES_MAX:
            raise BadRequest(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"a request's head has at most {HEAD_BYTES_MAX} bytes",
            )
        return None
    line, *fields = received[:end].decode("latin-1").split("\r\n")
    parts = line.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/"):
        raise BadRequest(HTTPStatus.BAD_REQUEST, "this port speaks HTTP/1.1")
    method, target, version = parts
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadRequest(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, f"{version[:20]} is not served")
    headers = _read_fields(fields)
    size = _body_bytes(headers)
    if method not in _METHODS:
        raise BadRequest(HTTPStatus.METHOD_NOT_ALLOWED, "only GET, HEAD and POST are served")
    if method == "POST" and "origin" in headers:
        raise BadRequest(HTTPStatus.FORBIDDEN, "nothing is changed for pages of other sites")
    try:
        split = urlsplit(target)
        query = parse_qs(split.query, max_num_fields=16)
    except ValueError:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "the request's target is malformed") from None
    path = unquote(split.path)
    if size and (method != "POST" or path not in bodies):
        raise BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "this request has no body")
    end += len(_END)
    if len(received) < end + size:
        return None
    wishes = headers.get("connection", "").lower()
    keep_alive = "close" not in wishes if version == "HTTP/1.1" else "keep-alive" in wishes
    is_head, is_post = method == "HEAD", method == "POST"
    body = bytes(received[end : end + size])
    return Request(path, query, is_head, keep_alive, is_post, headers, body), end + size


def _body_bytes(headers: Mapping[str, str]) -> int:
    """Raises BadRequest."""
    text = headers.get("content-length", "0")
    if "transfer-encoding" in headers:
        raise BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "bodies have a Content-Length here")
    if not (text.isascii() and text.isdigit()):
        raise BadRequest(HTTPStatus.BAD_REQUEST, "Content-Length is not a number")
    if len(text) > 9 or int(text) > BODY_BYTES_MAX:
        raise BadRequest(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {BODY_BYTES_MAX} bytes"
        )
    return int(text)


def _read_fields(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest(HTTPStatus.BAD_REQUEST, "a header field is malformed")
        headers[name.lower()] = value.strip()
    return headers


def encode(answer: Answer, *, keep_alive: bool, is_head: bool = False) -> bytes:
    """The answer's bytes."""
    status = answer.status
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        "Cache-Control: no-store",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
    ]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET, HEAD, POST")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    return head if is_head else head + answer.body
