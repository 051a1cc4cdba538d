"""Where the Zerobus services are found: their names, and no more until the first call, since what
serves them costs a start some milliseconds.

    databricks.zerobus.Zerobus             EphemeralStream, PersistentStream, RetireStream
    arrow.flight.protocol.FlightService    DoPut

What must not enter: imports of what they do.
"""

from functools import cache
from typing import TYPE_CHECKING, Final

from headrace.doors.http2.call import Call, Handler, Method
from headrace.doors.http2.services import Services

if TYPE_CHECKING:
    from headrace.broker.broker import Broker
    from headrace.doors.http2.zerobus.service import Zerobus

__all__ = ["register_zerobus"]

SERVICE: Final = "databricks.zerobus.Zerobus"
FLIGHT_SERVICE: Final = "arrow.flight.protocol.FlightService"


def register_zerobus(services: Services, broker: "Broker") -> None:
    """Serve them."""

    @cache
    def zerobus() -> "Zerobus":
        from headrace.doors.http2.zerobus.service import Zerobus

        return Zerobus(broker)

    def ephemeral(call: Call) -> Handler:
        return zerobus().ephemeral(call)

    def persistent(call: Call) -> Handler:
        return zerobus().persistent(call)

    def retire(call: Call) -> Handler:
        return zerobus().retire(call)

    def put(call: Call) -> Handler:
        return zerobus().put(call)

    services.add(
        SERVICE,
        {
            "EphemeralStream": Method(ephemeral),
            "PersistentStream": Method(persistent),
            "RetireStream": Method(retire, answers_at_once=False),
        },
    )
    services.add(FLIGHT_SERVICE, {"DoPut": Method(put)})
