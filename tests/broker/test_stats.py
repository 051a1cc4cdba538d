"""What the broker counts."""

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.stats import LATENCY_BOUNDS_S, Histogram, Rebalances, Stats
from headrace.log.contract import SyncRound
from headrace.wire.apis import ApiKey

seconds = st.floats(0, 100) | st.sampled_from(LATENCY_BOUNDS_S)


@given(st.lists(seconds))
def test_every_observation_is_in_the_bucket_of_its_bound(values):
    histogram = Histogram(LATENCY_BOUNDS_S)
    for value in values:
        histogram.observe(value)
    assert sum(histogram.counts) == len(values)
    assert abs(histogram.total - sum(values)) < 1e-6 * max(1, len(values))
    for place, bound in enumerate(LATENCY_BOUNDS_S):
        assert sum(histogram.counts[: place + 1]) == sum(value <= bound for value in values)


@given(st.lists(seconds, min_size=1))
def test_requests_are_counted_as_the_histogram_would(values):
    stats, alone = Stats(), Histogram(LATENCY_BOUNDS_S)
    for value in values:
        stats.answered(ApiKey.FETCH, value)
        alone.observe(value)
    counted = stats.latencies[ApiKey.FETCH]
    assert counted is not None
    assert (counted.counts, counted.total) == (alone.counts, alone.total)
    assert stats.latencies[ApiKey.PRODUCE] is None


def test_bounds_rise():
    assert list(LATENCY_BOUNDS_S) == sorted(set(LATENCY_BOUNDS_S))
    assert bisect_left(LATENCY_BOUNDS_S, 1000) == len(LATENCY_BOUNDS_S)


def test_a_rebalance_lasts_from_its_first_sign_to_its_end():
    rebalances = Rebalances()
    assert rebalances.note(False, 0) is None
    assert rebalances.note(True, 1_000) is None
    assert rebalances.note(True, 1_500) is None
    assert rebalances.note(False, 3_000) == 2.0
    assert rebalances.note(False, 4_000) is None
    assert (rebalances.ended, rebalances.duration_total_s) == (1, 2.0)


def test_failures_are_counted_and_a_good_commit_ends_the_doubt():
    stats = Stats()
    stats.sync_round(SyncRound(0.1, 0.2, 3))
    stats.catalog_commit(0.1, 5, True)
    assert (stats.syncs_failed, stats.catalog_failures, stats.catalog_is_failed) == (3, 1, True)
    stats.catalog_commit(0.1, 5, False)
    assert (stats.catalog_failures, stats.catalog_is_failed) == (1, False)
    assert stats.catalog_changes == 10
