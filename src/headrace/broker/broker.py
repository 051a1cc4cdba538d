"""The broker: where log, catalog and groups meet. Doors know this room and no other behind it.

Services are plain functions and small objects around it: `append`, `fetch`, `list_offsets`,
`topics`, `group_coordinator`, `producer_ids`, `housekeeping`. All of them run on one event loop;
blocking work goes to the flusher's and the catalog's threads.
What must not enter: sockets, frames, API versions.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from headrace.broker.housekeeping import keep_house
from headrace.catalog.catalog import Catalog
from headrace.log.store import LogStore

__all__ = ["Broker", "BrokerOptions", "OpenError"]


class OpenError(Exception):
    """The data directory cannot be opened: what stands in the way, for a person."""


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """What the broker is opened with. Config names and texts are Kafka's."""

    data_dir: str
    durability: Literal["fsync", "os"] = "fsync"
    node_id: int = 1
    broker_configs: Mapping[str, str] = field(default_factory=dict)
    topic_configs: Mapping[str, str] = field(default_factory=dict)


def wall_clock_ms() -> int:
    """Milliseconds since the epoch: record timestamps, retention, commit times."""
    return time.time_ns() // 1_000_000
