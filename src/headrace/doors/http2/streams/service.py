"""Where the methods of `headrace.v1.Streams` lead to; what serves them is imported with the first
call, since it costs a start some milliseconds.

What must not enter: how a stream goes (`publishing`, `subscribing`).
"""

from typing import TYPE_CHECKING, Final

from headrace.doors.http2.bearer import check_token
from headrace.doors.http2.call import Call, Handler, Method
from headrace.doors.http2.services import Services
from headrace.doors.http2.streams.faults import grpc_error, invalid
from headrace.doors.http2.unary import unary
from headrace.wire.errors import ErrorCode, MalformedError, RequestError

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["Streams"]

SERVICE: Final = "headrace.v1.Streams"


class Streams:
    """One for a door."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker

    def register(self, services: Services) -> None:
        services.add(
            SERVICE,
            {
                "Publish": Method(self._publish),
                "Retire": unary(self._retire),
                "Subscribe": Method(self._subscribe),
            },
        )

    def _publish(self, call: Call) -> Handler:
        from headrace.doors.http2.streams.publishing import Publishing

        check_token(self._broker.tokens, call)
        return Publishing(self._broker, call)

    def _subscribe(self, call: Call) -> Handler:
        from headrace.doors.http2.streams.subscribing import Subscribing

        check_token(self._broker.tokens, call)
        return Subscribing(self._broker, call)

    async def _retire(self, request: memoryview, call: Call) -> bytes:
        """Idempotent: an id that nobody knows (any more) is retired already."""
        from headrace.wire.headrace_v1 import read_retire

        check_token(self._broker.tokens, call)
        try:
            stream_id = read_retire(request)
            if not stream_id:
                raise invalid("which stream is to be retired?")
            await self._broker.streams.retire(stream_id)
        except MalformedError as error:
            raise invalid(f"not a RetireRequest: {error}") from None
        except RequestError as error:
            if error.code != ErrorCode.RESOURCE_NOT_FOUND:
                raise grpc_error(error) from None
        return b""
