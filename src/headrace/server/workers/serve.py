"""`headrace serve --workers N` as a process: signals in, exit status out.

What must not enter: how workers are kept (`supervisor`).
"""

import asyncio
import logging

from headrace.server.config import ServerConfig
from headrace.server.serve import failed, log_to_stderr
from headrace.server.workers.directory import DirectoryError
from headrace.server.workers.supervisor import CannotServe, supervise

__all__ = ["run_workers"]

log = logging.getLogger("headrace")


def run_workers(config: ServerConfig) -> int:
    """Serve until a signal; returns the process's exit status."""
    log_to_stderr("supervisor ")
    try:
        if not asyncio.run(supervise(config)):
            return failed("not all workers ended well")
    except (CannotServe, DirectoryError) as error:
        return failed(str(error))
    log.info("stopped cleanly")
    return 0
