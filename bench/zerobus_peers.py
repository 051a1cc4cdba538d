"""Other servers for the official Zerobus SDK, for `bench.zerobus`.

python -m bench.zerobus_peers grpcio FILE     grpcio.aio; what comes is written to FILE, synced in
                                              groups and acknowledged then, as Headrace does it
python -m bench.zerobus_peers nowhere         our own HTTP/2; acknowledged as it comes

Prints its port, serves until standard input ends.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

from headrace.doors.http2.call import Call, Handler, Method
from headrace.doors.http2.listener import GrpcListener
from headrace.doors.http2.messages import Messages
from headrace.doors.http2.services import Services
from headrace.wire.zerobus import EPHEMERAL, put_ack, put_created

SERVICE = "databricks.zerobus.Zerobus"
MESSAGE_BYTES_MAX = 16 << 20


class Nowhere(Handler):
    """Counts messages, the first of which opens the stream."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._count = -1

    def on_messages(self, messages: Messages) -> None:
        if self._count < 0:
            self._call.send([put_created("nowhere")])
        self._count += len(messages)
        if self._count:
            self._call.send([put_ack(self._count - 1, EPHEMERAL)])

    def on_end(self) -> None:
        self._call.finish()


async def serve_nowhere() -> None:
    services = Services()
    services.add(SERVICE, {"EphemeralStream": Method(Nowhere)})
    listener = GrpcListener(services)
    _, port = await listener.bind("127.0.0.1", 0)
    await listener.open()
    await until_stdin_ends(port)
    await listener.close()


class SyncedFile:
    """Appends; waiting syncs share the next one."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self._lock = asyncio.Lock()
        self._written = self._synced = 0

    def append(self, data: bytes) -> None:
        self._written += os.write(self._file, data)

    async def sync(self) -> None:
        wanted = self._written
        async with self._lock:
            if self._synced < wanted:
                through = self._written
                await asyncio.to_thread(os.fdatasync, self._file)
                self._synced = through


async def serve_grpcio(path: str) -> None:
    import grpc

    file = SyncedFile(path)

    async def stream(requests: AsyncIterator[bytes], context: Any) -> None:
        await context.send_initial_metadata(())
        count, acked = -1, -1
        has_ended = False
        news = asyncio.Event()

        async def acknowledge() -> None:
            nonlocal acked
            while not (has_ended and acked == count - 1):
                await news.wait()
                news.clear()
                up_to = count - 1
                if up_to > acked:
                    await file.sync()
                    await context.write(put_ack(up_to, EPHEMERAL))
                    acked = up_to

        task = asyncio.create_task(acknowledge())
        async for request in requests:
            if count < 0:
                await context.write(put_created("grpcio"))
            else:
                file.append(request)
            count += 1
            news.set()
        has_ended = True
        news.set()
        await task

    handler = grpc.stream_stream_rpc_method_handler(stream)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)])
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"EphemeralStream": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await until_stdin_ends(port)
    await server.stop(1)


async def until_stdin_ends(port: int) -> None:
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    work = serve_nowhere() if sys.argv[1] == "nowhere" else serve_grpcio(sys.argv[2])
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work) if sys.argv[1] == "nowhere" else asyncio.run(work)


if __name__ == "__main__":
    main()
