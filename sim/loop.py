"""An asyncio loop of virtual time: one for every process of a world, none of which ever sleeps.

A turn runs what was ready when it began, as asyncio's does, and takes TURN_NS, so that a task that
yields again and again cannot stop the clock. Threads are steps between turns: what is given to an
executor is done whole, some time later, and its result comes back some time after that. A process
can be frozen (no turn, no thread, while time goes on) and killed (nothing of it ever runs again).
What must not enter: sockets' insides, what the processes do.
"""

import asyncio
import contextlib
import traceback
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from sim.world import MS, SECOND, World

__all__ = ["Pollable", "SimLoop"]

TURN_NS: Final = 20_000
THREAD_NS_MIN: Final = 20_000
THREAD_NS_MAX: Final = 2 * MS
SLOW_THREAD_ONE_IN: Final = 50
SLOW_THREAD_NS_MAX: Final = 80 * MS

T = TypeVar("T")


class Pollable(Protocol):
    """What a loop watches under a descriptor."""

    def is_readable(self) -> bool: ...

    def is_writable(self) -> bool: ...


class SimLoop(asyncio.AbstractEventLoop):
    """The loop, and at the same time the process: its clock, its threads, its life."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.is_dead = False
        self.frozen_until_ns = 0
        self.disk_delay_ns = 0
        """What every step of a thread takes longer, at most."""
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.watched: dict[int, Pollable] = {}
        """Sockets by descriptor."""
        self._random = world.random(f"loop {name}")
        self._ready: deque[asyncio.Handle] = deque()
        self._turn_is_due = False
        self._is_running = False
        self._readers: dict[int, asyncio.Handle] = {}
        self._writers: dict[int, asyncio.Handle] = {}
        self.posted_ns = 0
        """When the loop hears of the last that a thread has done."""

    # Life

    def freeze(self, duration_ns: int) -> None:
        """Nothing of this process runs for so long."""
        self.frozen_until_ns = self.world.now_ns + duration_ns

    def kill(self) -> None:
        """Nothing of this process runs again; its coroutines end where they are."""
        self.is_dead = True
        self._ready.clear()
        self._readers.clear()
        self._writers.clear()
        self.world.is_deaf = True
        with self.running():
            while self.tasks:  # some begin others on their way out
                task, _ = self.tasks.popitem()
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with contextlib.suppress(BaseException):  # the dead have nothing to say
                    coroutine: Any = task.get_coro()
                    coroutine.close()
        self.world.is_deaf = False

    def when_awake(self, act: Callable[[], None]) -> None:
        """Do it now, or when the process is no longer frozen; never if it is dead."""
        if self.is_dead:
            return
        if self.world.now_ns < self.frozen_until_ns:
            self.world.at(self.frozen_until_ns, partial(self.when_awake, act))
        else:
            act()

    # Turns

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._put(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self.world.at(round(when * SECOND), partial(self._put, handle))
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """From a thread, which has done its work at one moment: the loop hears of it when the work
        has taken its time, and in order."""
        handle = asyncio.Handle(callback, args, self, context)
        self.posted_ns = max(self.posted_ns, self.world.now_ns + self.thread_ns())
        self.world.at(self.posted_ns, partial(self._put, handle))
        return handle

    def _put(self, handle: asyncio.Handle) -> None:
        if self.is_dead or handle.cancelled():
            return
        self._ready.append(handle)
        if not self._turn_is_due:
            self._turn_is_due = True
            self.world.after(TURN_NS, partial(self.when_awake, self._turn))

    def _turn(self) -> None:
        self._turn_is_due = False
        ready = self._ready
        with self.running():
            for _ in range(len(ready)):
                handle = ready.popleft()
                if not handle.cancelled():
                    handle._run()
                if self.is_dead:
                    return
        if ready and not self._turn_is_due:
            self._turn_is_due = True
            self.world.after(TURN_NS, partial(self.when_awake, self._turn))

    def running(self) -> "_Running":
        """What is done inside runs on this loop."""
        return _Running(self)

    def time(self) -> float:
        return self.world.now_ns / SECOND

    # Futures, tasks, errors

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None
    ) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        self.tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        self.tasks.pop(task, None)

    def start(self, coroutine: Coroutine[Any, Any, T], name: str) -> "asyncio.Task[T]":
        """A task, from outside of any loop."""
        with self.running():
            task: asyncio.Task[T] = self.create_task(coroutine, name=name)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self.is_dead:
            return
        error = context.get("exception")
        text = "".join(traceback.format_exception(error)) if error else ""
        self.world.problem(f"{self.name}: {context.get('message')}: {text}")

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def get_exception_handler(self) -> None:
        return None

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self._is_running

    def is_closed(self) -> bool:
        return self.is_dead

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays planned, and does nothing then."""

    # Threads

    def run_in_executor(
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> "asyncio.Future[T]":
        future: asyncio.Future[T] = self.create_future()
        self.in_thread(partial(self._work, future, partial(func, *args)))
        return future

    def in_thread(self, step: Callable[[], None], not_before_ns: int = 0) -> None:
        """Do it between turns, when a thread gets to it."""
        when_ns = max(not_before_ns, self.world.now_ns) + self._random.randrange(THREAD_NS_MAX)
        self.world.at(when_ns, partial(self.when_awake, step))

    def thread_ns(self) -> int:
        """What a step of a thread takes."""
        random = self._random
        if random.randrange(SLOW_THREAD_ONE_IN) == 0:
            return random.randrange(SLOW_THREAD_NS_MAX) + self.disk_delay_ns
        delay_ns = random.randrange(self.disk_delay_ns) if self.disk_delay_ns else 0
        return delay_ns + random.randrange(THREAD_NS_MIN, THREAD_NS_MAX)

    def _work(self, future: "asyncio.Future[T]", work: Callable[[], T]) -> None:
        if future.cancelled():
            return
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it is the waiting task's
            self.call_soon_threadsafe(_settle, future, None, error)
        else:
            self.call_soon_threadsafe(_settle, future, result, None)

    # Descriptors

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        self._readers[fd] = asyncio.Handle(callback, args, self, None)
        self.poke(fd)

    def remove_reader(self, fd: Any) -> bool:
        return _cancelled(self._readers.pop(fd, None))

    def add_writer(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        self._writers[fd] = asyncio.Handle(callback, args, self, None)
        self.poke(fd)

    def remove_writer(self, fd: Any) -> bool:
        return _cancelled(self._writers.pop(fd, None))

    def poke(self, fd: int) -> None:
        """Something about the descriptor may have changed: look at the next turn."""
        if fd in self._readers or fd in self._writers:
            self.call_soon(self._look, fd)

    def _look(self, fd: int) -> None:
        """Call who waits, and look again, for as long as there is a reason."""
        pollable = self.watched.get(fd)
        if pollable is None:
            return
        again = False
        for handles, is_due in (
            (self._readers, pollable.is_readable),
            (self._writers, pollable.is_writable),
        ):
            handle = handles.get(fd)
            if handle is not None and is_due():
                handle._run()
                again = again or (fd in handles and is_due())
        if again:
            self.call_soon(self._look, fd)


class _Running:
    """`with` this loop as the one that runs, whichever did before."""

    __slots__ = ("_before", "_loop")

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop
        self._before: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> None:
        self._before = events._get_running_loop()
        events._set_running_loop(self._loop)
        self._loop._is_running = True

    def __exit__(self, *_: object) -> None:
        self._loop._is_running = self._before is self._loop
        events._set_running_loop(self._before)


def _settle(future: "asyncio.Future[T]", result: T, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _cancelled(handle: asyncio.Handle | None) -> bool:
    if handle is None:
        return False
    handle.cancel()
    return True
