"""Headrace as one of the systems that are measured."""

import contextlib
from collections.abc import Iterator

import headrace
from bench.raw_kafka import KafkaDriver
from bench.server import serving
from bench.systems import Durability, Running

__all__ = ["OURS", "Headrace"]

OURS = "Headrace"
POLICIES: dict[Durability, str] = {
    "os": "--durability os: acknowledged from the page cache",
    "fsync": "its default: fdatasync before each acknowledgement, shared by those that wait",
}


class Headrace:
    """`headrace serve` of this tree."""

    name = OURS

    @contextlib.contextmanager
    def start(self, directory: str, durability: Durability) -> Iterator[Running]:
        with serving(directory, durability) as ours:
            yield Running(
                name=self.name,
                version=headrace.__version__,
                durability=durability,
                policy=POLICIES[durability],
                bootstrap=ours.bootstrap,
                pids=[ours.process.pid],
                driver=KafkaDriver(ours.bootstrap, durability),
                family="kafka",
                system=self,
                ready_s=ours.ready_s,
            )
