"""A Kafka broker that somebody else has started: measured as it is, its processes not seen."""

import contextlib
from collections.abc import Iterator

from bench.raw_kafka import KafkaDriver
from bench.systems import Durability, Running

__all__ = ["External"]


class External:
    def __init__(self, bootstrap: str, name: str) -> None:
        self.name = name
        self._bootstrap = bootstrap

    @contextlib.contextmanager
    def start(self, directory: str, durability: Durability) -> Iterator[Running]:
        """Nothing is started, and nothing is written into `directory`."""
        yield Running(
            name=self.name,
            version="",
            durability=durability,
            policy="flush.messages=1" if durability == "fsync" else "its defaults",
            bootstrap=self._bootstrap,
            pids=[],
            driver=KafkaDriver(self._bootstrap, durability),
            family="kafka",
            system=self,
        )
