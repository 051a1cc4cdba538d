"""Ctrl-C and SIGTERM, as one interruption that a step can put off until it is whole."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Stopping", "stoppable"]


class Stopping:
    """Raises KeyboardInterrupt at a signal: at once, or after the step that runs. The second
    signal does not wait: the step may be stuck."""

    def __init__(self) -> None:
        self._in_step = False
        self._asked = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        if self._in_step and not self._asked:
            self._asked = True
            return
        raise KeyboardInterrupt

    @contextmanager
    def step(self) -> Iterator[None]:
        """What is within is done, or not begun, when the first signal takes effect."""
        self._in_step = True
        try:
            yield
        finally:
            self._in_step = False
        if self._asked:
            raise KeyboardInterrupt


@contextmanager
def stoppable() -> Iterator[Stopping]:
    """Both signals end what is within by KeyboardInterrupt. Main thread only."""
    stopping = Stopping()
    before = {number: signal.signal(number, stopping) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
