"""Deliberate mistakes in the broker, to see that the simulator sings.

Each is one function of the product that does something else while a run lasts. A change of the
product that makes one of them silent has made the simulator blind.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final
from unittest import mock

import headrace.log.flusher
from headrace.catalog.offsets import Offsets
from headrace.log.contract import AppendDone, Appended
from headrace.log.local import LocalLog
from headrace.log.producers import ProducerTable

__all__ = ["CANARIES", "canary"]


def _no_sync() -> AbstractContextManager[Any]:
    """Producers are told that a batch is durable, and nobody has asked the disk."""
    return mock.patch.object(headrace.log.flusher, "sync_job", return_value=None)


def _ack_before_sync() -> AbstractContextManager[Any]:
    """Producers are told that a batch is durable when it is written, and it will be soon."""
    acknowledge = LocalLog._acknowledge

    def at_once(log: LocalLog, appended: Appended, acks: int, done: AppendDone | None) -> None:
        if done is not None:
            done(appended)
        acknowledge(log, appended, acks, None)

    return mock.patch.object(LocalLog, "_acknowledge", at_once)


def _forgotten_producers() -> AbstractContextManager[Any]:
    """A start does not look for what producers have written since the last checkpoint."""
    return mock.patch.object(ProducerTable, "replay", return_value=None)


def _aborted_shown() -> AbstractContextManager[Any]:
    """Readers of committed records are not told which transactions were aborted."""
    return mock.patch.object(LocalLog, "aborted_between", return_value=())


async def _commit_nothing(*_: object) -> None:
    """In place of a commit of offsets."""


def _forgotten_commits() -> AbstractContextManager[Any]:
    """Committed offsets are answered, and stay in memory."""
    return mock.patch.object(Offsets, "commit", _commit_nothing)


CANARIES: Final[dict[str, Callable[[], AbstractContextManager[Any]]]] = {
    "no-sync": _no_sync,
    "ack-before-sync": _ack_before_sync,
    "forgotten-producers": _forgotten_producers,
    "aborted-shown": _aborted_shown,
    "forgotten-commits": _forgotten_commits,
}


@contextlib.contextmanager
def canary(name: str) -> Iterator[None]:
    """The broker is wrong in this way. Raises KeyError."""
    with CANARIES[name]():
        yield
