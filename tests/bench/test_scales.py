import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.scales import linear, logarithmic, short

VALUES = st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=20)


@given(VALUES)
def test_a_linear_axis_has_every_value_and_few_marks_at_equal_distance(values):
    scale = linear(values)
    assert all(-1e-9 <= scale.place(value) <= 1 + 1e-9 for value in values)
    assert 2 <= len(scale.ticks) <= 7
    assert scale.ticks[0] == scale.low == 0
    assert scale.ticks[-1] == scale.high
    assert max(values) > scale.high * 0.5


@given(VALUES)
def test_a_logarithmic_axis_has_every_value_and_ends_at_marks(values):
    scale = logarithmic(values)
    assert all(-1e-6 <= scale.place(value) <= 1 + 1e-6 for value in values)
    assert scale.ticks[0] == scale.low
    assert scale.ticks[-1] == scale.high
    assert 2 <= len(scale.ticks) <= 16


def test_marks_are_round():
    assert linear([37]).ticks == (0, 10, 20, 30, 40)
    assert linear([]).ticks == pytest.approx((0, 0.2, 0.4, 0.6, 0.8, 1))
    assert logarithmic([3, 40]).ticks == pytest.approx((2, 5, 10, 20, 50))
    assert logarithmic([1, 5000]).ticks == pytest.approx((1, 10, 100, 1000, 10_000))
    assert logarithmic([10, 10]).ticks == pytest.approx((10, 20))


def test_a_logarithmic_axis_gives_equal_ratios_equal_lengths():
    scale = logarithmic([1, 10_000])
    assert [scale.place(10**power) for power in range(5)] == pytest.approx([0, 0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.05, "0.05"), (950, "950"), (1500, "1.5k"), (2e6, "2M")]
)
def test_numbers_are_short(value, text):
    assert short(value) == text
