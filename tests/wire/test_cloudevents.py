"""Events survive being records, and no record is too strange to be an event."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.wire.cloudevents import RECORD_TYPE, Event, InvalidEventError, event_of, record_of
from headrace.wire.records import Record

NAMES = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=20).map(
    lambda name: f"x{name}"
)
TEXTS = st.text(min_size=1, max_size=9)
PLAIN = TEXTS.filter(lambda text: not text.lower().startswith("application/cloudevents"))
EVENTS = st.builds(
    Event,
    id=TEXTS,
    source=TEXTS,
    type=TEXTS,
    data=st.none() | st.binary(),
    subject=st.none() | st.text(max_size=9),
    time=st.none() | st.just("2026-11-20T10:00:00.5+01:00"),
    datacontenttype=st.none() | PLAIN,
    dataschema=st.none() | TEXTS,
    extensions=st.dictionaries(NAMES | st.just("partitionkey"), TEXTS, max_size=4),
)
HEADERS = st.lists(
    st.tuples(
        TEXTS
        | st.sampled_from(["ce_id", "ce_specversion", "ce_source", "ce_type", "content-type"]),
        st.none() | st.binary() | st.sampled_from([b"1.0", b"application/cloudevents+json"]),
    ),
    max_size=6,
).map(tuple)


@settings(max_examples=50)
@given(EVENTS)
def test_an_event_comes_out_as_it_went_in(event: Event) -> None:
    assert event_of(record_of(event), "t", 0) == (event, ())


@settings(max_examples=50)
@given(st.builds(Record, st.just(5), st.integers(), st.binary() | st.none(), st.binary(), HEADERS))
def test_every_record_is_an_event(record: Record) -> None:
    event, rest = event_of(record, "t", 0)
    assert event.id
    assert event.source
    assert event.type
    assert set(rest) <= set(record.headers)


def test_a_record_that_is_no_event_is_named_by_its_place() -> None:
    record = Record(7, 1_000, b"key", b"value", (("content-type", b"text/plain"), ("a", None)))
    event, rest = event_of(record, "orders", 3)
    assert event == Event(
        id="7",
        source="/orders/3",
        type=RECORD_TYPE,
        data=b"value",
        subject="key",
        time="1970-01-01T00:00:01.000Z",
        datacontenttype="text/plain",
    )
    assert rest == (("a", None),)


def test_a_key_that_is_not_the_subject_is_the_partition_key() -> None:
    event = Event(id="1", source="s", type="t", subject="a", extensions={"partitionkey": "b"})
    record = record_of(event)
    assert record.key == b"b"
    without = tuple(header for header in record.headers if header[0] != "ce_partitionkey")
    assert event_of(record._replace(headers=without), "t", 0)[0] == event


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (b'"data": {"a": 1}', b'{"a":1}'),
        (b'"data": "x", "datacontenttype": "text/plain"', b"x"),
        (b'"data_base64": "/w=="', b"\xff"),
        (b'"extra": true', None),
    ],
)
def test_structured_events_are_read(text: bytes, data: bytes | None) -> None:
    value = b'{"specversion": "1.0", "id": "1", "source": "s", "type": "t", ' + text + b"}"
    headers = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
    event, rest = event_of(Record(0, 0, None, value, headers), "t", 0)
    assert (event.id, event.source, event.type, event.data) == ("1", "s", "t", data)
    assert event.extensions == ({"extra": "true"} if b"extra" in text else {})
    assert rest == ()


@pytest.mark.parametrize(
    "fault",
    [
        {"id": ""},
        {"source": ""},
        {"type": ""},
        {"time": "yesterday"},
        {"datacontenttype": "application/cloudevents+json"},
        {"extensions": {"Upper": "x"}},
        {"extensions": {"id": "x"}},
        {"extensions": {f"x{at}": "" for at in range(101)}},
        {"subject": "\ud800"},
    ],
    ids=str,
)
def test_what_is_no_event_is_refused(fault: dict[str, object]) -> None:
    event = Event(**{"id": "1", "source": "s", "type": "t", **fault})  # type: ignore[arg-type]
    with pytest.raises(InvalidEventError):
        record_of(event)
