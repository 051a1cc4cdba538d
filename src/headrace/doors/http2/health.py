"""`grpc.health.v1.Health`, the standard question whether a server serves (grpc/grpc health.proto).

    Check(HealthCheckRequest {string service = 1}) -> HealthCheckResponse {enum status = 1}
    Watch(the same) -> stream of the same, one now and one after every change

The empty service stands for the server as a whole. What must not enter: why it does not serve.
"""

from enum import IntEnum

from headrace.doors.http2.call import Call, Handler, Method
from headrace.doors.http2.messages import Messages
from headrace.doors.http2.services import Services
from headrace.doors.http2.status import GrpcError, Status
from headrace.doors.http2.unary import unary
from headrace.wire.errors import MalformedError
from headrace.wire.protobuf import LENGTH_DELIMITED, put_varint, read_fields

__all__ = ["Health", "Serving"]

SERVICE = "grpc.health.v1.Health"


class Serving(IntEnum):
    """HealthCheckResponse.ServingStatus."""

    UNKNOWN = 0
    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3


class Health:
    """What each service is, and who wants to be told of changes."""

    def __init__(self) -> None:
        self._services: dict[str, Serving] = {"": Serving.NOT_SERVING}
        self._watches: set[_Watch] = set()

    def register(self, services: Services) -> None:
        services.add(SERVICE, {"Check": unary(self._check), "Watch": Method(self._watch)})

    def set(self, service: str, serving: Serving) -> None:
        self._services[service] = serving
        for watch in list(self._watches):
            if watch.service == service:
                watch.tell(serving)

    async def _check(self, request: memoryview, call: Call) -> bytes:
        service = _service(request)
        serving = self._services.get(service)
        if serving is None:
            raise GrpcError(Status.NOT_FOUND, f"there is no service {service[:200]}")
        return _response(serving)

    def _watch(self, call: Call) -> Handler:
        return _Watch(call, self._services, self._watches)


class _Watch(Handler):
    """Bound by what the client takes: a state that is over before there is room is left out."""

    def __init__(self, call: Call, services: dict[str, Serving], watches: "set[_Watch]") -> None:
        self.service: str | None = None
        self._call = call
        self._services = services
        self._watches = watches
        self._untold: Serving | None = None

    def on_messages(self, messages: Messages) -> None:
        if self.service is not None or len(messages) > 1:
            raise GrpcError(Status.INTERNAL, "Watch takes one message")
        self.service = _service(next(iter(messages)))
        self._watches.add(self)
        self.tell(self._services.get(self.service, Serving.SERVICE_UNKNOWN))

    def tell(self, serving: Serving) -> None:
        self._untold = serving
        self.on_room()

    def on_room(self) -> None:
        if self._untold is not None and self._call.has_room:
            serving, self._untold = self._untold, None
            self._call.send([_response(serving)])

    def on_end(self) -> None:
        if self.service is None:
            raise GrpcError(Status.INTERNAL, "Watch takes one message")

    def on_drain(self) -> None:
        self._watches.discard(self)
        self._call.finish(Status.UNAVAILABLE, "the server stops")

    def on_cancel(self, why: str) -> None:
        self._watches.discard(self)


def _service(request: memoryview) -> str:
    """Raises GrpcError."""
    service = b""
    try:
        for number, kind, value in read_fields(request):
            if number == 1 and kind == LENGTH_DELIMITED and not isinstance(value, int):
                service = bytes(value)
        return service.decode()
    except (MalformedError, UnicodeDecodeError) as error:
        raise GrpcError(Status.INVALID_ARGUMENT, f"not a HealthCheckRequest: {error}") from None


def _response(serving: Serving) -> bytes:
    out = bytearray()
    put_varint(out, 1, serving)
    return bytes(out)
