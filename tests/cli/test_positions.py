"""Places in a topic as a person names them."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.cli.failure import Exit, Failure
from headrace.cli.positions import Place, Position


@given(st.integers(0, 10**18 - 1))
def test_a_number_is_an_offset(number: int) -> None:
    assert Position.parse(str(number), "--from") == (Place.OFFSET, number)


@given(st.integers(1, 10**17), st.sampled_from("+-"))
def test_a_signed_number_is_a_shift_where_shifts_are_meant(number: int, sign: str) -> None:
    shift = Position.parse(f"{sign}{number}", "--to", shift=True)
    assert shift == (Place.SHIFT, int(f"{sign}{number}"))
    with pytest.raises(Failure):
        Position.parse(f"{sign}{number}", "--from")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("beginning", Place.EARLIEST),
        ("earliest", Place.EARLIEST),
        ("latest", Place.LATEST),
        (" end ", Place.LATEST),
    ],
)
def test_the_two_ends_have_the_names_people_know(text: str, place: Place) -> None:
    assert Position.parse(text, "--from").place is place


@given(st.integers(86_400_000, 29_000_000_000_000), st.integers(-12, 12))
def test_a_time_without_a_zone_is_utc(epoch_ms: int, hours: int) -> None:
    moment = datetime.fromtimestamp(epoch_ms / 1000, UTC).replace(tzinfo=None)
    expected = int(moment.replace(tzinfo=UTC).timestamp() * 1000)
    assert Position.parse(moment.isoformat(), "--from") == (Place.TIME, expected)
    elsewhere = (moment + timedelta(hours=hours)).isoformat() + f"{hours:+03d}:00"
    found = Position.parse(elsewhere, "--from")
    assert found.place is Place.TIME
    assert abs(found.number - expected) <= 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("-90s", 90), ("-2h", 7200), ("-1d12h", 129600), ("-500ms", 0.5), ("-1w", 604800)],
)
def test_how_long_ago_is_counted_from_now(text: str, seconds: float) -> None:
    before = time.time_ns() // 1_000_000
    found = Position.parse(text, "--from").number
    after = time.time_ns() // 1_000_000
    assert before - seconds * 1000 <= found <= after - seconds * 1000


def test_what_is_before_1970_is_1970() -> None:
    assert Position.parse("1900-01-01", "--from").number == 0
    assert Position.parse("-99999w", "--from").number == 0


@given(st.text())
def test_anything_else_is_refused_with_the_option_and_what_can_be_said(text: str) -> None:
    try:
        found = Position.parse(text, "--from", shift=True)
    except Failure as failure:
        said, code = str(failure), failure.code
    else:
        said, code = f"--from: expected {found.place}", Exit.USAGE
    assert said.startswith("--from: expected ")
    assert code is Exit.USAGE
