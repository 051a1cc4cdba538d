"""Percentiles of many latencies in little memory: logarithmic buckets, each 1 % wide."""

import math
from typing import Any, Final

__all__ = ["Histogram"]

_GROWTH: Final = 1.01
_LOG: Final = math.log(_GROWTH)
_LEAST_NS: Final = 1000
"""What is less is counted as this."""
SHARES: Final = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "p99_9_ms": 0.999}


def _bucket(latency_ns: int) -> int:
    return int(math.log(max(latency_ns, _LEAST_NS) / _LEAST_NS) / _LOG)


def _end_ns(bucket: int) -> float:
    """Where the next bucket begins."""
    return _LEAST_NS * float(_GROWTH ** (bucket + 1))


class Histogram:
    """Latencies in ns. What is said of them is at most 1 % too high, the greatest is exact."""

    def __init__(self) -> None:
        self.count = 0
        self.least_ns = 0
        self.greatest_ns = 0
        self._buckets: dict[int, int] = {}

    def add(self, latency_ns: int) -> None:
        self.add_run(latency_ns, 0, 1)

    def add_run(self, least_ns: int, step_ns: int, count: int) -> None:
        """`count` latencies, each `step_ns` more than the one before: what one answer ends when
        it is for many records. Costs a bucket, not a record."""
        if count < 1:
            return
        greatest_ns = least_ns + (count - 1) * step_ns
        self.least_ns = min(self.least_ns, least_ns) if self.count else least_ns
        self.greatest_ns = max(self.greatest_ns, greatest_ns)
        self.count += count
        latency_ns = least_ns
        while count:
            bucket = _bucket(latency_ns)
            within = count
            if step_ns:
                within = math.ceil((_end_ns(bucket) - latency_ns) / step_ns)
                within = min(max(within, 1), count)
            self._buckets[bucket] = self._buckets.get(bucket, 0) + within
            latency_ns += within * step_ns
            count -= within

    def percentile_ns(self, share: float) -> float:
        """The latency that `share` (0 to 1) of all are not above. Raises ValueError if empty."""
        if not self.count:
            raise ValueError("no latencies")
        wanted = max(math.ceil(share * self.count), 1)
        for bucket in sorted(self._buckets):
            wanted -= self._buckets[bucket]
            if wanted <= 0:
                return min(_end_ns(bucket), self.greatest_ns)
        raise AssertionError("buckets hold fewer than were counted")

    def summary(self) -> dict[str, Any]:
        """Percentiles and the greatest in ms, and of how many."""
        if not self.count:
            return {"count": 0}
        found = {name: self.percentile_ns(share) / 1e6 for name, share in SHARES.items()}
        return {"count": self.count, **found, "max_ms": self.greatest_ns / 1e6}
