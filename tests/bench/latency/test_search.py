from hypothesis import given
from hypothesis import strategies as st

from bench.latency.search import ABOVE, RANGE, highest_rate


@given(st.integers(1000, 10**7), st.floats(0.25, 1.1), st.integers(2, 8))
def test_the_highest_sustained_rate_is_found_within_one_step(flooded, share, trials):
    sustained = int(flooded * share)
    tried = []

    def is_sustained(rate: int) -> bool:
        tried.append(rate)
        return rate <= sustained

    found = highest_rate(is_sustained, flooded, trials)
    assert len(tried) == trials
    step = RANGE ** (1 / (1 << trials))
    assert sustained / step - 2 <= found <= sustained or sustained < flooded * ABOVE / RANGE * step


def test_nothing_sustained_is_zero():
    assert highest_rate(lambda _: False, 100_000, 4) == 0


def test_everything_sustained_is_one_step_below_the_upper_end():
    assert highest_rate(lambda _: True, 100_000, 4) == int(120_000 * 5 ** (-1 / 16))
