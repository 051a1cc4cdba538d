"""Other systems to measure beside ours: each starts on a free port with its data beside ours, and
is gone afterwards. What they are made of is fetched when asked for (`scripts/bench
--install-peers`), into the directory of `bench.peers.installed.cache`; nothing of it is needed
otherwise. `python -m bench.peers NAME --port PORT` starts one for hands.
"""

from typing import Protocol

from bench.peers.external import External
from bench.peers.installed import NotInstalled
from bench.peers.kafka import Kafka
from bench.peers.nats import Nats
from bench.peers.redis import Redis
from bench.systems import System

__all__ = ["PEERS", "External", "NotInstalled", "Peer"]


class Peer(System, Protocol):
    """A system that can be installed."""

    port: int | None
    """Where it listens, a free one unless it is set."""

    def install(self) -> str:
        """Fetch what is missing; what there is now, in a line. Raises NotInstalled."""
        ...


PEERS: dict[str, Peer] = {"kafka": Kafka(), "nats": Nats(), "redis": Redis()}
"""By the names of the command line."""
