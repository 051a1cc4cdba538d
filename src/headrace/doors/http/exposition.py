"""Prometheus' text format 0.0.4: families, samples, histograms, as lines.

A family is told once, with all its samples after it. What must not enter: which metrics there are.
"""

from collections.abc import Iterable, Iterator, Mapping

from headrace.broker.stats import Histogram

__all__ = ["CONTENT_TYPE", "Labels", "family", "histograms"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, object]


def family(
    name: str, kind: str, about: str, samples: Iterable[tuple[Labels, float | None]]
) -> Iterator[str]:
    """A family of counters or gauges; a sample whose value is None is left out."""
    yield from _head(name, kind, about)
    for labels, value in samples:
        if value is not None:
            yield f"{name}{_labels(labels)} {value}\n"


def histograms(name: str, about: str, samples: Iterable[tuple[Labels, Histogram]]) -> Iterator[str]:
    """A family of histograms."""
    yield from _head(name, "histogram", about)
    for labels, histogram in samples:
        below = 0
        for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
            below += count
            yield f"{name}_bucket{_labels({**labels, 'le': float(bound)})} {below}\n"
        below += histogram.counts[-1]
        yield f"{name}_bucket{_labels({**labels, 'le': '+Inf'})} {below}\n"
        yield f"{name}_sum{_labels(labels)} {histogram.total}\n"
        yield f"{name}_count{_labels(labels)} {below}\n"


def _head(name: str, kind: str, about: str) -> Iterator[str]:
    yield f"# HELP {name} {about}\n"
    yield f"# TYPE {name} {kind}\n"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(value: object) -> str:
    text = str(value)
    if "\\" in text or '"' in text or "\n" in text:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return text
