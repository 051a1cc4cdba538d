"""Brokers whose HTTP door is open, and a scrape of one."""

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headrace.testing import RunningBroker, running_broker


class Got(NamedTuple):
    status: int
    text: str
    headers: Any


Metrics = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Scrape:
    """A text of metrics, read by Prometheus' own parser."""

    def __init__(self, text: str) -> None:
        self.values: Metrics = {}
        self.types: dict[str, str] = {}
        for family in text_string_to_metric_families(text):
            assert family.documentation
            assert family.name not in self.types, f"{family.name} is told twice"
            self.types[family.name] = family.type
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                assert key not in self.values, f"{key} is told twice"
                self.values[key] = sample.value

    def __call__(self, name: str, **labels: object) -> float | None:
        wanted = frozenset((label, str(value)) for label, value in labels.items())
        return self.values.get((name, wanted))

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.values}


@pytest.fixture
def seen_broker() -> Iterator[RunningBroker]:
    """A durable broker with an HTTP door, which finds a member stuck after 0.4 s."""
    with running_broker(
        durability="fsync", http=True, broker={"headrace.group.stuck.ms": "400"}
    ) as running:
        yield running


@pytest.fixture
def get() -> Callable[..., Got]:
    def fetch(broker: RunningBroker, path: str) -> Got:
        try:
            with urllib.request.urlopen(broker.http_url + path, timeout=10) as answer:  # noqa: S310
                return Got(answer.status, answer.read().decode(), answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return Got(error.code, error.read().decode(), error.headers)

    return fetch


@pytest.fixture
def scrape(get: Callable[..., Got]) -> Callable[[RunningBroker], Scrape]:
    return lambda broker: Scrape(get(broker, "/metrics").text)
