"""Write rates, as they are told of topics and of all of them together."""

import asyncio
from types import SimpleNamespace
from uuid import UUID

import pytest

from headrace.broker.kept import VolumeWindow
from headrace.broker.load import PartitionLoads


def _topic(number: int, partitions: int) -> SimpleNamespace:
    topic = SimpleNamespace(id=UUID(int=number), partitions=[])
    topic.partitions += [
        SimpleNamespace(index=index, produced_bytes=0) for index in range(partitions)
    ]
    return topic


def test_the_rate_is_right_from_the_first_look_on() -> None:
    busy, idle = _topic(1, 2), _topic(2, 1)
    loads = PartitionLoads({"busy": busy, "idle": idle})  # type: ignore[arg-type]
    assert loads.written_bytes_per_s() is None
    for _ in range(50):
        for partition in busy.partitions:
            partition.produced_bytes += 3000
        asyncio.run(loads.look(30))
        assert loads.written_bytes_per_s() == pytest.approx(200)
        assert loads.written_bytes_per_s(busy) == pytest.approx(200)  # type: ignore[arg-type]
        assert loads.written_bytes_per_s(idle) == 0  # type: ignore[arg-type]


def test_a_disk_lasts_as_long_as_what_is_free_takes_to_write() -> None:
    assert VolumeWindow(10_000, 6_000, 2.0).lasts_s == 3000
    assert VolumeWindow(10_000, 6_000, 0.0).lasts_s is None
    assert VolumeWindow(10_000, 6_000, None).lasts_s is None
