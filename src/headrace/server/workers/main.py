"""What runs in a worker process: `python -m headrace.server.workers.main`, by the supervisor.

What must not enter: anything that `headrace serve` without workers needs.
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress

from headrace.server.node import CloseError, Node, StartError
from headrace.server.serve import failed, prepare_process, runner
from headrace.server.workers.part import LINE_BYTES_MAX, READY, WorkerPart

__all__ = ["main"]

_TOLD = 0
_TELLS = 1


def main() -> int:
    """Serve until the supervisor says so, or is gone; returns the process's exit status."""
    part = WorkerPart.decode(_read_line())
    prepare_process(f"worker {part.index} ")
    return runner()(_serve(part))


def _read_line() -> bytes:
    """Without a buffer: what follows the line is waited for by the event loop."""
    line = bytearray()
    while not line.endswith(b"\n"):
        read = os.read(_TOLD, LINE_BYTES_MAX)
        if not read:
            sys.exit("headrace: this is started by headrace serve --workers, and by nobody else")
        line += read
    return bytes(line)


async def _serve(part: WorkerPart) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_reader(_TOLD, stopping.set)  # nothing follows the line, so it is the end
    try:
        node = await Node.start(part.config, part)
    except StartError as error:
        return failed(f"worker {part.index}: {error}")
    with suppress(BrokenPipeError):  # the supervisor is gone, which `stopping` knows
        os.write(_TELLS, READY)
    await stopping.wait()
    loop.remove_reader(_TOLD)
    try:
        await node.stop()
    except CloseError as error:
        return failed(f"worker {part.index} was not stopped cleanly: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
