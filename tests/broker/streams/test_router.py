"""The router's promises, for measurements of any kind, on a clock that nobody waits for."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headrace.broker.streams.router import (
    OPEN_AFTER_MS,
    Action,
    ElasticRule,
    LaneLoad,
    Watch,
    choose,
    review,
)
from headrace.testing.routing import TRACES, simulate

HOT = 1_000_000

LOADS = st.lists(
    st.tuples(st.floats(0, 1e9), st.integers(0, 1 << 30), st.integers(0, 3000), st.floats(0, 3000)),
    min_size=1,
    max_size=40,
).map(
    lambda found: [
        LaneLoad(number, rate, queue, streams, min(unseen, streams))
        for number, (rate, queue, streams, unseen) in enumerate(found)
    ]
)


def lanes(*rates: float, streams: int = 3) -> list[LaneLoad]:
    return [LaneLoad(number, rate, 0, streams, 0.0) for number, rate in enumerate(rates)]


def test_a_stream_goes_where_least_is_written() -> None:
    assert choose(lanes(5e6, 1e6, 2e6)).partition == 1


def test_a_queue_counts_as_load() -> None:
    loads = [LaneLoad(0, 1e6, 9_000_000, 1, 0.0), LaneLoad(1, 5e6, 0, 1, 0.0)]
    assert choose(loads).partition == 1


def test_streams_that_were_not_measured_yet_count_as_much_as_others_write() -> None:
    loads = [LaneLoad(0, 1e6, 0, 20, 10.0), LaneLoad(1, 1.2e6, 0, 12, 0.0)]
    assert choose(loads).partition == 1


def test_of_equals_the_one_with_the_fewest_streams_is_chosen() -> None:
    idle = [LaneLoad(number, 0.0, 0, streams, 0.0) for number, streams in enumerate((3, 1, 2))]
    assert choose(idle).partition == 1


@given(LOADS)
def test_what_is_chosen_is_one_of_those_given_and_not_heavier_than_any(
    loads: list[LaneLoad],
) -> None:
    choice = choose(loads)
    assert choice.partition in {load.partition for load in loads}
    assert choice.weight <= choice.heaviest


def test_partitions_are_opened_only_after_all_have_been_hot_for_a_while() -> None:
    rule_ = ElasticRule(1, 8, HOT, 10_000)
    watch, decision = review(Watch(), lanes(2 * HOT), rule_, 0)
    assert decision is None
    watch, decision = review(watch, lanes(2 * HOT), rule_, OPEN_AFTER_MS)
    assert decision is not None
    assert (decision.action, decision.number) == (Action.OPEN, 1)


def test_a_partition_is_retired_after_the_cool_down_and_it_is_the_coldest() -> None:
    rule_ = ElasticRule(1, 8, HOT, 10_000)
    watch, decision = review(Watch(), lanes(9e4, 1e4, 8e4), rule_, 0)
    watch, decision = review(watch, lanes(9e4, 1e4, 8e4), rule_, 9_999)
    assert decision is None
    _, decision = review(watch, lanes(9e4, 1e4, 8e4), rule_, 10_000)
    assert decision is not None
    assert (decision.action, decision.partition) == (Action.RETIRE, 1)


def test_load_between_the_thresholds_changes_nothing() -> None:
    watch = Watch()
    for now_ms in range(0, 600_000, 500):
        rule_ = ElasticRule(1, 8, HOT, 10_000)
        watch, decision = review(watch, lanes(0.7 * HOT, 0.6 * HOT, 0.5 * HOT), rule_, now_ms)
        assert decision is None


def test_one_stream_that_is_most_of_the_load_neither_opens_nor_relieves_anything() -> None:
    watch = Watch()
    loads = [LaneLoad(0, 9 * HOT, 0, 1, 0.0), *lanes(0.9 * HOT, 0.9 * HOT)[1:]]
    for now_ms in range(0, 600_000, 500):
        watch, decision = review(watch, loads, ElasticRule(1, 8, HOT, 10_000), now_ms)
        assert decision is None


class Elasticity(RuleBasedStateMachine):
    """Any load, any clock: what the router decides is carried out on a topic of numbers."""

    @initialize(least=st.integers(1, 4), more=st.integers(0, 8), begun=st.integers(1, 16))
    def begin(self, least: int, more: int, begun: int) -> None:
        self.rule = ElasticRule(least, least + more, HOT, 5_000)
        self.partitions = begun
        self.retired: set[int] = set()
        self.streams: dict[int, int] = {}
        self.opened = 0
        self.now_ms = 0
        self.watch = Watch()
        self.has_settled = False

    def loads(self, rates: list[float]) -> list[LaneLoad]:
        active = [n for n in range(self.partitions) if n not in self.retired]
        counts = {n: sum(at == n for at in self.streams.values()) for n in active}
        return [LaneLoad(n, rates[n % len(rates)], 0, counts[n], 0.0) for n in active]

    @rule(rates=st.lists(st.floats(0, 5 * HOT), min_size=1, max_size=16))
    def open(self, rates: list[float]) -> None:
        where = choose(self.loads(rates)).partition
        assert where not in self.retired
        self.streams[self.opened] = where
        self.opened += 1

    @precondition(lambda self: self.streams)
    @rule(number=st.integers(0, 1000))
    def close(self, number: int) -> None:
        del self.streams[sorted(self.streams)[number % len(self.streams)]]

    @rule(
        rates=st.lists(st.floats(0, 5 * HOT), min_size=1, max_size=16),
        times=st.integers(1, 40),
        step_ms=st.integers(100, 5000),
    )
    def look(self, rates: list[float], times: int, step_ms: int) -> None:
        before = dict(self.streams)
        for _ in range(times):
            self.now_ms += step_ms
            self.watch, decision = review(self.watch, self.loads(rates), self.rule, self.now_ms)
            if decision is None:
                self.has_settled = True
            elif decision.action is Action.OPEN:
                again = sorted(self.retired)[: decision.number]
                self.retired.difference_update(again)
                self.partitions += decision.number - len(again)
            elif decision.action is Action.RETIRE:
                assert decision.partition not in self.retired
                self.retired.add(decision.partition)
            else:
                assert decision.number < sum(
                    at == decision.partition for at in self.streams.values()
                )
        assert self.streams == before  # whatever is decided, no stream moves

    @invariant()
    def is_within_its_bounds(self) -> None:
        active = self.partitions - len(self.retired)
        assert active >= 1
        if self.has_settled:
            assert self.rule.partitions_min <= active <= self.rule.partitions_max


TestElasticity = Elasticity.TestCase
TestElasticity.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


def test_routing_spreads_every_trace_more_evenly_than_hashing() -> None:
    for name, make in TRACES.items():
        trace = make(random.Random(7))
        hashed = simulate(trace, 16, 8 * HOT, hashed=True)
        routed = simulate(trace, 16, 8 * HOT)
        assert routed.imbalance <= hashed.imbalance, name
        assert routed.imbalance < 1.25, name


def test_elastic_partitions_follow_a_day_within_seconds() -> None:
    trace = TRACES["day"](random.Random(7))
    report = simulate(trace, 1, 8 * HOT, rule=ElasticRule(1, 32, 8 * HOT, 20_000))
    assert report.reaction_s <= 5
    assert report.hot_share < 0.15
    assert report.partitions_mean < 16 < report.partitions_most <= 32
    assert report.changes < 100  # and do not flap
