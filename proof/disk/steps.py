"""The log's threads as steps of one loop, in an order that follows from a seed.

What is handed to a thread is done whole, a few turns of the loop later; what the loop does in
between is what it would do beside a thread. What must not enter: the log.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from random import Random
from typing import Any, Final, Generic, TypeVar

from headrace.log import flusher, resources

__all__ = ["run"]

TURNS_MAX: Final = 4
"""Of the loop, before a step is done."""
INLINE_PART: Final = 0.3
"""Of the rounds that the loop may do by itself."""
LIFE_S_MAX: Final = 30.0
"""A life that takes longer hangs."""

T = TypeVar("T")


class _Steps:
    """What is to be done by threads."""

    def __init__(self, seed: int) -> None:
        self.random = Random(f"steps {seed}")
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_in_step = False

    def add(self, step: Callable[[], None]) -> None:
        if self._is_in_step:  # a thread that waits for another one
            step()
            return
        self._waiting.append(step)
        self._later(self.random.randrange(TURNS_MAX))

    def do_all(self) -> None:
        while self._waiting:
            self._do()

    def _later(self, turns: int) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(self._later, turns - 1) if turns else loop.call_soon(self._do)

    def _do(self) -> None:
        if self._waiting and not self._is_in_step:
            self._is_in_step = True
            try:
                self._waiting.popleft()()
            finally:
                self._is_in_step = False


def _executor_of(steps: _Steps) -> type[ThreadPoolExecutor]:
    class StepExecutor(ThreadPoolExecutor):
        def submit(self, work: Callable[..., T], /, *arguments: Any, **more: Any) -> "Future[T]":
            future: Future[T] = Future()

            def step() -> None:
                try:
                    future.set_result(work(*arguments, **more))
                except BaseException as error:  # noqa: BLE001 - it is the waiting one's
                    future.set_exception(error)

            steps.add(step)
            return future

        def shutdown(self, *_: object, **__: object) -> None:
            pass

    return StepExecutor


def _worker_of(steps: _Steps) -> type:
    class StepWorker(Generic[T]):
        """As `headrace.worker.Worker`; `begin` and `end` are not used by the log."""

        def __init__(self, name: str, work: Callable[[list[T]], None]) -> None:
            self._work = work
            self._items: list[T] = []

        def start(self) -> None:
            pass

        def put(self, item: T) -> None:
            self._items.append(item)
            steps.add(self._step)

        def end(self) -> None:
            pass

        def join(self) -> None:
            self._step()

        def _step(self) -> None:
            items, self._items = self._items, []
            if items:
                self._work(items)

    return StepWorker


def _pacing_of(steps: _Steps) -> type:
    class StepPacing:
        """As `headrace.log.pacing.Pacing`, by chance and not by the clock."""

        def is_inline(self) -> bool:
            return steps.random.random() < INLINE_PART

        def round_over(self, took_s: float, *, was_alone: bool | None) -> None:
            pass

    return StepPacing


@contextlib.contextmanager
def _instead_of_threads(steps: _Steps) -> Iterator[type[ThreadPoolExecutor]]:
    executor, worker = _executor_of(steps), _worker_of(steps)
    places = [
        (flusher, "ThreadPoolExecutor", executor),
        (flusher, "Worker", worker),
        (flusher, "Pacing", _pacing_of(steps)),
        (resources, "ThreadPoolExecutor", executor),
    ]
    before = [getattr(module, name) for module, name, _ in places]
    for module, name, stand_in in places:
        setattr(module, name, stand_in)
    try:
        yield executor
    finally:
        for (module, name, _), real in zip(places, before, strict=True):
            setattr(module, name, real)


def run(seed: int, life: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `life` to its end, its threads as steps. Raises what it raises, and TimeoutError when it
    hangs."""
    steps = _Steps(seed)

    async def main(executor: type[ThreadPoolExecutor]) -> T:
        asyncio.get_running_loop().set_default_executor(executor(1))
        async with asyncio.timeout(LIFE_S_MAX):
            result = await life()
        steps.do_all()
        return result

    with _instead_of_threads(steps) as executor:
        return asyncio.run(main(executor))
