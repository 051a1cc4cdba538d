"""The brokers of the cluster as clients are told of them.

What must not enter: who serves what (`ownership`).
"""

from typing import NamedTuple

__all__ = ["Member"]


class Member(NamedTuple):
    """A worker and where its clients connect to."""

    node_id: int
    host: str
    port: int
