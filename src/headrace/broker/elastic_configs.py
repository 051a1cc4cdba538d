"""The topic configurations of elastic partitions: how many are open for ingest streams, and when.

What must not enter: what is decided by them (`streams.router`).
"""

from collections.abc import Mapping
from typing import Any, Final

from headrace.broker.configs import Config, boolean, integer, invalid, long
from headrace.broker.streams.router import ElasticRule

__all__ = ["CLOSE_GRACE", "ELASTIC_CONFIGS", "elastic_rule"]

ELASTIC: Final = "headrace.partitions.elastic"
MIN: Final = "headrace.partitions.min"
MAX: Final = "headrace.partitions.max"
HOT: Final = "headrace.partitions.hot.bytes.per.second"
COOL_DOWN: Final = "headrace.partitions.cool.down.ms"
CLOSE_GRACE: Final = "headrace.stream.close.grace.ms"

ELASTIC_PARTITIONS_MAX: Final = 1_000

ELASTIC_CONFIGS: Final[tuple[Config, ...]] = (
    boolean(
        ELASTIC,
        False,
        "Open partitions for new ingest streams when all active ones are hot, and route none to "
        "the coldest when they are idle. Not for topics with keys: new partitions break key order.",
    ),
    integer(
        MIN,
        1,
        "Active partitions that an elastic topic has at least.",
        least=1,
        most=ELASTIC_PARTITIONS_MAX,
    ),
    integer(
        MAX,
        16,
        "Active partitions that an elastic topic has at most.",
        least=1,
        most=ELASTIC_PARTITIONS_MAX,
    ),
    long(
        HOT,
        32 << 20,
        "Bytes a second, smoothed, and bytes not yet durable, from which on a partition of an "
        "elastic topic is hot.",
        least=1,
    ),
    long(
        COOL_DOWN,
        60_000,
        "So long one active partition less must have been enough before an elastic topic retires "
        "one.",
    ),
    long(
        CLOSE_GRACE,
        30_000,
        "How long an ingest stream that is asked to close may go on before it is ended.",
    ),
)


def elastic_rule(values: Mapping[str, Any]) -> ElasticRule | None:
    """None for a topic that is not elastic. Raises RequestError INVALID_CONFIG."""
    if values[MIN] > values[MAX]:
        raise invalid(f"{MIN}={values[MIN]} is more than {MAX}={values[MAX]}")
    if not values[ELASTIC]:
        return None
    return ElasticRule(values[MIN], values[MAX], values[HOT], values[COOL_DOWN])
