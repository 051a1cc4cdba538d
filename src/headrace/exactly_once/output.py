"""A record to be written in the transaction."""

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Output"]


class Output(NamedTuple):
    """Text becomes UTF-8. `partition` None leaves it to the producer's `partitioner`."""

    topic: str
    value: bytes | str | None
    key: bytes | str | None = None
    headers: Sequence[tuple[str, bytes | str | None]] = ()
    partition: int | None = None
    timestamp_ms: int | None = None
    """None is the time of writing."""
