"""A record as a line of text."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.cli.records import Headers, Received, as_json, as_text, as_value, from_json

DATA = (
    st.none()
    | st.binary(max_size=20)
    | st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace"))
)
LINES = st.binary(max_size=60) | st.text(max_size=60).map(
    lambda text: text.encode("utf-8", "replace")
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
RECORDS = st.builds(
    Received,
    topic=st.just("t"),
    partition=st.integers(0, 2**31 - 1),
    offset=st.integers(0, 2**63 - 1),
    timestamp_ms=st.none() | st.integers(0, 2**63 - 1),
    key=DATA,
    value=DATA,
    headers=st.lists(st.tuples(NAMES, DATA), max_size=3),
)


@given(RECORDS)
def test_json_gives_every_byte_back(record: Received) -> None:
    line = as_json(record)
    assert b"\n" not in line
    read = from_json(line)
    assert (read.key, read.value, read.headers) == (record.key, record.value, record.headers)
    assert (read.partition, read.timestamp_ms) == (record.partition, record.timestamp_ms)
    assert json.loads(line)["offset"] == record.offset


@given(RECORDS)
def test_text_is_one_line_without_control_characters(record: Received) -> None:
    shown = as_text(record).decode()
    assert all(character == "\t" or ord(character) >= 0x20 for character in shown)
    assert not any(0x7F <= ord(character) < 0xA0 for character in shown)


@given(RECORDS)
def test_a_value_is_left_as_it_is(record: Received) -> None:
    assert as_value(record) == (record.value or b"")


@given(LINES)
def test_any_line_is_a_record_or_a_value_error(line: bytes) -> None:
    with contextlib.suppress(ValueError):
        from_json(line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("1", "expected an object"),
        ('{"Key": 1}', 'unknown key "Key"; known: headers, key,'),
        ('{"partition": -1}', "partition: expected a whole number from 0"),
        ('{"partition": true}', "partition: expected a whole number"),
        ('{"partition": 2147483648}', "partition: expected a whole number"),
        ('{"timestamp_ms": 1.5}', "timestamp_ms: expected a whole number"),
        ('{"headers": 1}', "headers: expected"),
        ('{"headers": [1]}', "headers: expected"),
        ('{"headers": [["a"]]}', "headers: expected"),
        ('{"value": {"base64": "?"}}', "not base64"),
        ('{"value": "\\ud800"}', "half a surrogate pair"),
        ('{"headers": {"\\ud800": "x"}}', "half a surrogate pair"),
    ],
)
def test_what_is_wrong_with_a_line_is_said(line: str, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        from_json(line.encode())
    assert message in str(refused.value)


def test_headers_may_be_an_object_or_pairs() -> None:
    expected: Headers = [("a", b"1"), ("b", None)]
    assert from_json(b'{"headers": {"a": "1", "b": null}}').headers == expected
    assert from_json(b'{"headers": [["a", "1"], ["b", null]]}').headers == expected


def test_a_time_no_calendar_has_is_shown_as_a_number() -> None:
    record = Received("t", 0, 0, 2**60, None, b"v", [])
    assert as_text(record) == f"{2**60}  0:0  null  v".encode()
