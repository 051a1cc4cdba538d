"""Every name that is replaced while a world runs, and what stands there instead.

Clocks and chance are replaced in the standard library itself, so that no module can get at the true
ones. What the product does in threads, it does in steps; its disk and its catalog are memory.
"""

import contextlib
import gc
import logging
import os
import time
import warnings
from collections.abc import Iterator
from typing import Any, Final
from unittest import mock

import headrace.catalog.writer
import headrace.log.flusher
import headrace.log.resources
from headrace.catalog.catalog import Catalog
from headrace.testing.disk import mounted
from sim.catalog import MemoryCatalog
from sim.threads import StepExecutor, StepWorker
from sim.world import SECOND, World

__all__ = ["in_world"]

_LOGGER: Final = "headrace"
_DAMAGE: Final = ("is damaged", "files are missing", "no catalog")
"""What a start says of data that it cannot use."""


@contextlib.contextmanager
def in_world(world: World, disk: object, catalog: MemoryCatalog) -> Iterator[None]:
    """One world at a time in a process, and nothing else in it: clocks are everybody's."""
    chance = world.random("os.urandom")
    names: list[tuple[Any, str, Any]] = [
        (time, "time_ns", world.wall_ns),
        (time, "time", lambda: world.wall_ns() / SECOND),
        (time, "monotonic_ns", lambda: world.now_ns),
        (time, "monotonic", lambda: world.now_ns / SECOND),
        (time, "perf_counter_ns", lambda: world.now_ns),
        (time, "perf_counter", lambda: world.now_ns / SECOND),
        (time, "sleep", lambda _: None),
        (os, "urandom", chance.randbytes),
        (os, "getpid", lambda: 1),
        (headrace.log.flusher, "Worker", StepWorker),
        (headrace.log.flusher, "ThreadPoolExecutor", StepExecutor),
        (headrace.log.resources, "ThreadPoolExecutor", StepExecutor),
        (headrace.catalog.writer, "Worker", StepWorker),
        (headrace.catalog.writer, "connect", catalog.connect),
        (headrace.catalog.writer, "disconnect", catalog.disconnect),
        (Catalog, "is_there", staticmethod(catalog.is_there)),
    ]
    with contextlib.ExitStack() as stack:
        for where, name, what in names:
            stack.enter_context(mock.patch.object(where, name, what))
        stack.enter_context(mounted(disk))
        stack.enter_context(_listening(world))
        stack.enter_context(_no_garbage_collection())
        yield


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """When cycles are collected depends on all that was done before in this process."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # who was killed has left things undone
            gc.collect()
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def _listening(world: World) -> Iterator[None]:
    """What the broker logs is part of the trace; an exception that it logs is a problem."""
    logger = logging.getLogger(_LOGGER)
    before = logger.handlers, logger.propagate, logger.level
    logger.handlers, logger.propagate = [_Listener(world)], False
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before[:2]
        logger.setLevel(before[2])


class _Listener(logging.Handler):
    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        text = f"log {record.levelname} {record.getMessage()}"
        if record.exc_info is not None and record.exc_info[1] is not None:
            self._world.problem(f"{text}: {logging.Formatter().formatException(record.exc_info)}")
        elif any(word in text for word in _DAMAGE):
            self._world.problem(text)  # nobody flips bits here: the broker did it, or was not sure
        else:
            self._world.note(text)
