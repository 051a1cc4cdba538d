"""Requests to one broker, made again over new connections until they are answered.

Whatever is asked here may be asked twice: a batch has its sequence (KIP-98), the end of a
transaction its epoch (KIP-890), and who begins anew only gets one more epoch. So an answer that was
lost is no reason to give up before the time is over. What must not enter: what is asked, and why.
"""

import socket
import struct
import time
from collections.abc import Callable
from typing import Final, TypeVar

from headrace.two_phase.errors import Fenced, Refused, TwoPhaseError, Unanswered
from headrace.wire import schema
from headrace.wire.apis import ApiKey, is_flexible, response_header_version
from headrace.wire.errors import ErrorCode, MalformedError
from headrace.wire.messages.k18_api_versions import ApiVersionsRequest, ApiVersionsResponse

__all__ = ["Requests"]

T = TypeVar("T")

ANSWER_S_MAX: Final = 10.0
"""After so long without an answer the connection is given up, and another one tried."""
RETRY_S_MIN: Final = 0.02
RETRY_S_MAX: Final = 1.0
"""Between two attempts; each wait is twice the one before."""

_RETRIABLE: Final = frozenset(
    {
        ErrorCode.CONCURRENT_TRANSACTIONS,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.KAFKA_STORAGE_ERROR,
        ErrorCode.LEADER_NOT_AVAILABLE,
        ErrorCode.NETWORK_EXCEPTION,
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.REQUEST_TIMED_OUT,
    }
)
_FENCING: Final = frozenset(
    {
        ErrorCode.INVALID_PRODUCER_EPOCH,
        ErrorCode.INVALID_PRODUCER_ID_MAPPING,
        ErrorCode.PRODUCER_FENCED,
    }
)
_CLIENT_ID: Final = b"headrace-two-phase"
_HEAD: Final = struct.Struct(">ihhih")
_ANSWER_HEAD: Final = struct.Struct(">ii")


class Requests:
    """One broker, one connection at a time, one request at a time. Not for several threads."""

    def __init__(self, bootstrap: str, timeout_s: float, needs: dict[ApiKey, int]) -> None:
        """`bootstrap` is HOST:PORT; `needs` the version that each API is asked in."""
        host, _, port = bootstrap.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(f"{bootstrap!r} is not HOST:PORT")
        self._address = host.strip("[]"), int(port)
        self._where = bootstrap
        self._timeout_s = timeout_s
        self._needs = needs
        self._socket: socket.socket | None = None
        self._asked = 0

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, what: str, request: object, answer: type[T], code_of: Callable[[T], int]) -> T:
        """The answer to a request that may be made twice; `what` names it in errors.

        Raises Unanswered after `timeout_s`, Fenced, Refused, and TwoPhaseError for a broker that
        lacks what is needed.
        """
        deadline = time.monotonic() + self._timeout_s
        wait_s = RETRY_S_MIN
        while True:
            try:
                got = self._attempt(request, answer, deadline)
                code = ErrorCode(code_of(got))
                if code is ErrorCode.NONE:
                    return got
                if code in _FENCING:
                    raise Fenced(what, code)
                if code not in _RETRIABLE:
                    raise Refused(what, code)
                why = code.name
            except (OSError, MalformedError) as error:
                self.close()
                why = str(error) or type(error).__name__
            if time.monotonic() + wait_s >= deadline:
                raise Unanswered(f"{what}: no answer of {self._where} ({why})")
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_S_MAX)

    def _attempt(self, request: object, answer: type[T], deadline: float) -> T:
        until = min(deadline, time.monotonic() + ANSWER_S_MAX)
        if self._socket is None:
            self._socket = socket.create_connection(self._address, _left(until))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._check_served(
                self._exchange(self._socket, ApiVersionsRequest(), 0, ApiVersionsResponse, until)
            )
        version = self._needs[ApiKey(schema.api_key_of(type(request)))]
        return self._exchange(self._socket, request, version, answer, until)

    def _check_served(self, answer: ApiVersionsResponse) -> None:
        served = {api.api_key: api.max_version for api in answer.api_keys}
        for key, version in self._needs.items():
            if served.get(key, -1) < version:
                self.close()
                raise TwoPhaseError(
                    f"{self._where} takes no part in two-phase commits: it does not serve "
                    f"{key.name} in version {version}"
                )

    def _exchange(
        self, to: socket.socket, request: object, version: int, answer: type[T], until: float
    ) -> T:
        key = schema.api_key_of(type(request))
        self._asked += 1
        body = schema.encode(request, version)
        tags = b"\0" if is_flexible(key, version) else b""
        size = _HEAD.size - 4 + len(_CLIENT_ID) + len(tags) + len(body)
        head = _HEAD.pack(size, key, version, self._asked, len(_CLIENT_ID))
        to.settimeout(_left(until))
        to.sendall(head + _CLIENT_ID + tags + body)
        size, correlation_id = _ANSWER_HEAD.unpack(_receive(to, _ANSWER_HEAD.size, until))
        if correlation_id != self._asked or not 4 <= size <= schema.MESSAGE_BYTES_MAX:
            raise MalformedError("that is no answer")
        frame = _receive(to, size - 4, until)
        return schema.decode(answer, version, frame, response_header_version(key, version))


def _receive(source: socket.socket, size: int, until: float) -> bytes:
    received = bytearray()
    while len(received) < size:
        source.settimeout(_left(until))
        piece = source.recv(size - len(received))
        if not piece:
            raise ConnectionError("the connection was closed")
        received += piece
    return bytes(received)


def _left(until: float) -> float:
    """Seconds; a socket takes 0 for "do not wait at all"."""
    left_s = until - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("the time is over")
    return left_s
