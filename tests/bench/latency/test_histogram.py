import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.latency.histogram import Histogram

LATENCIES = st.integers(1_000, 10**11)


@given(st.lists(LATENCIES, min_size=1), st.floats(0.01, 1))
def test_percentiles_are_at_most_one_percent_too_high(latencies, share):
    histogram = Histogram()
    for latency in latencies:
        histogram.add(latency)
    exact = sorted(latencies)[max(math.ceil(share * len(latencies)), 1) - 1]
    assert exact * 0.999999 <= histogram.percentile_ns(share) <= exact * 1.010001


@given(LATENCIES, st.integers(0, 10**6), st.integers(1, 2000))
def test_a_run_counts_like_its_latencies_one_by_one(least, step, count):
    run, single = Histogram(), Histogram()
    run.add_run(least, step, count)
    for number in range(count):
        single.add(least + number * step)
    assert (run.count, run.least_ns, run.greatest_ns) == (
        (single.count, single.least_ns, single.greatest_ns)
    )
    for share in (0.01, 0.5, 0.9, 0.99, 1):
        assert run.percentile_ns(share) == pytest.approx(single.percentile_ns(share), rel=0.0101)


def test_the_greatest_is_exact_and_the_summary_in_ms():
    histogram = Histogram()
    histogram.add_run(1_000_000, 0, 999)
    histogram.add(123_456_789)
    summary = histogram.summary()
    assert summary["max_ms"] == 123.456789
    assert summary["p50_ms"] == pytest.approx(1, rel=0.01)
    assert summary["count"] == 1000


def test_nothing_has_no_percentile():
    with pytest.raises(ValueError, match="no latencies"):
        Histogram().percentile_ns(0.5)
    assert Histogram().summary() == {"count": 0}
