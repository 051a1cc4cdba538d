"""A gRPC door with one method that counts and acknowledges, for `bench.ingest`.

python -m bench.ingest_server       prints its port, serves until standard input ends
"""

import asyncio
import sys

from headrace.doors.http2.call import Call, Handler, Method
from headrace.doors.http2.listener import GrpcListener
from headrace.doors.http2.messages import Messages
from headrace.doors.http2.services import Services
from headrace.wire.protobuf import put_varint

__all__ = ["SERVICE"]

SERVICE = "headrace.bench.Ingest"


class Acknowledge(Handler):
    """Answers every batch with how many messages there have been, as an ingest stream does."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._count = 0

    def on_messages(self, messages: Messages) -> None:
        self._count += len(messages)
        ack = bytearray()
        put_varint(ack, 1, self._count)
        self._call.send([ack])

    def on_end(self) -> None:
        self._call.finish()


async def serve() -> None:
    services = Services()
    services.add(SERVICE, {"Stream": Method(Acknowledge)})
    listener = GrpcListener(services)
    _, port = await listener.bind("127.0.0.1", 0)
    await listener.open()
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await listener.close()


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve())
    else:
        uvloop.run(serve())
