"""Sizes, rates and durations in the words of people."""

import pytest

from headrace.cli.quantities import duration_text, parse_duration_s, parse_rate, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512),
        ("64kB", 64_000),
        ("1.5 GB", 1_500_000_000),
        ("2TiB", 2 << 40),
        ("6t", 6_000_000_000_000),
        ("1PB", 10**15),
    ],
)
def test_a_size_is_in_powers_of_1000_or_with_an_i_of_1024(text: str, size: int) -> None:
    assert parse_size(text, "--disk") == size
    assert parse_rate(f"{text}/s", "--write") == size


def test_network_people_count_bits() -> None:
    assert parse_rate("1Gbit/s", "--write") == 125_000_000
    assert parse_rate("10 Mbits/s", "--write") == 1_250_000


@pytest.mark.parametrize(
    ("text", "seconds", "shown"),
    [
        ("7d", 604_800, "7 d"),
        ("1d12h", 129_600, "1 d 12 h"),
        ("1w5m", 605_100, "7 d"),
        ("90m", 5400, "1 h 30 min"),
        ("61s", 61, "1 min"),
        ("12s", 12, "12 s"),
        ("500ms", 0.5, "0.5 s"),
        ("2000d", 172_800_000, "2,000 d"),
    ],
)
def test_a_duration_is_read_and_shown_in_two_units(text: str, seconds: float, shown: str) -> None:
    assert parse_duration_s(text, "--retention") == seconds
    assert duration_text(seconds) == shown
