"""When a system is warm."""

import itertools

import pytest

from bench.compare import Case, Sample, Settings
from bench.workloads import warm


def cases(_: Settings) -> list[Case]:
    return [Case("w", "what", "os", "s", lambda running, settings: Sample(1.0))]


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What rounds say, small and large batches in turn; those that are left."""
    left: list[float] = []
    monkeypatch.setattr(warm, "one_record_at_a_time", cases)
    monkeypatch.setattr(warm, "fan_out", cases)
    monkeypatch.setattr(warm, "write_round", lambda *_: Sample(left.pop(0)))
    return left


@pytest.mark.parametrize(
    ("seen", "turns"),
    [
        ([10.0, 100.0, 10.5, 90.0, 9.0, 100.0], 3),
        ([10.0, 100.0, 10.0, 90.0, 20.0, 100.0, 20.0, 100.0, 21.0, 90.0], 5),
    ],
)
def test_it_is_warm_when_neither_kind_of_batches_gets_faster(
    rates: list[float], seen: list[float], turns: int
) -> None:
    rates += seen + [1.0] * 10
    warm.warm_up(None, Settings("/nowhere", 1.0, 1, 1, warm_up_s=60))  # type: ignore[arg-type]
    assert len(rates) == len(seen) + 10 - 2 * turns


def test_what_never_gets_steady_ends_with_its_time(
    rates: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    rates += [2.0**number for number in range(100)]
    ticks = itertools.count()
    monkeypatch.setattr(warm.time, "perf_counter", lambda: float(next(ticks)))
    warm.warm_up(None, Settings("/nowhere", 1.0, 1, 1, warm_up_s=5))  # type: ignore[arg-type]
    assert len(rates) == 100 - 2 * 4
