"""`headrace serve`: one broker process from its first line to its last.

Puts broker and doors together, says when it is ready, drains on SIGTERM and SIGINT. What must not
enter: anything a broker inside another process (headrace.testing) would not want.
"""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final

import headrace
from headrace.doors.kafka.registry import apis
from headrace.server.config import ServerConfig
from headrace.server.node import CloseError, Node, StartError
from headrace.server.repeated_lines import RepeatedLines
from headrace.server.standard_streams import say

__all__ = ["failed", "log_to_stderr", "prepare_process", "run", "runner"]

log = logging.getLogger("headrace")

SWITCH_INTERVAL_S: Final = 0.0005
"""How long the loop may keep a returning flusher waiting for the interpreter; Python's default of
5 ms would be most of an ack's latency."""


def run(config: ServerConfig) -> int:
    """Serve until a signal; returns the process's exit status."""
    config = replace(config, data_dir=os.path.abspath(config.data_dir))
    if config.workers > 1:
        from headrace.server.workers.serve import run_workers

        return run_workers(config)
    prepare_process()
    return runner()(_serve(config))


def log_to_stderr(who: str = "") -> None:
    """What happens is told on standard error, by `who`."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format=f"%(asctime)s {who}%(levelname)s %(name)s %(message)s",
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(RepeatedLines())


def prepare_process(who: str = "") -> None:
    """Let this process be a broker."""
    log_to_stderr(who)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    _raise_file_limit()
    _keep_what_is_loaded()


def runner() -> Callable[[Coroutine[Any, Any, int]], int]:
    """uvloop's loop where it is installed, asyncio's own elsewhere."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


def _raise_file_limit() -> None:
    """A connection and a segment are a descriptor each; the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _keep_what_is_loaded() -> None:
    """Code and classes are never garbage: no collection walks them again."""
    apis()
    gc.freeze()
    gc.enable()


def _other_doors(node: Node) -> str:
    grpc = node.grpc_url and f", grpc {node.grpc_url}"
    metrics = node.http_address and f", metrics http://{node.http_address}/metrics"
    return f"{grpc or ''}{metrics or ''}"


async def _serve(config: ServerConfig) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        node = await Node.start(config)
    except StartError as error:
        return failed(str(error))
    status = 0
    try:
        say(
            f"headrace {headrace.__version__} ready on kafka://{node.kafka_address} "
            f"(data {config.data_dir}, durability {config.durability}{_other_doors(node)})"
        )
        await stopping.wait()
        log.info("stopping: draining connections")
    except OSError as error:
        status = failed(f"cannot write to standard output: {error.strerror or error}")
    finally:
        status = await _stop(node) or status
    return status


async def _stop(node: Node) -> int:
    try:
        await node.stop()
    except CloseError as error:
        return failed(f"not stopped cleanly: {error}")
    log.info("stopped cleanly")
    return 0


def failed(why: str) -> int:
    """Say it in one line; returns the process's exit status."""
    print(f"headrace: {why}", file=sys.stderr, flush=True)
    return 1
