"""What there is to fuzz, and the bounds of one input."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

__all__ = ["Target"]


class Target(NamedTuple):
    """`try_one` raises whatever is a fault; `seeds` are inputs that mean something."""

    name: str
    try_one: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    modules: tuple[str, ...]
    """Whose lines count as reached."""
    input_bytes_max: int = 4096
    input_s_max: float = 2.0
    """How long one input may take, on a slow and busy machine."""
