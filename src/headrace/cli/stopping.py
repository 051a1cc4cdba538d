"""Ctrl-C and SIGTERM, as one interruption that a step can put off until it is whole."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

__all__ = ["Stopping", "stoppable", "whole"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


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
    before = {number: signal.signal(number, stopping) for number in _SIGNALS}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def whole() -> Iterator[None]:
    """Both signals wait until what is within is done.

    For calls of Kafka's client that run Python inside C: an interruption raised there comes out as
    a SystemError. Holds where no other thread takes signals, and the client's own take none.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
