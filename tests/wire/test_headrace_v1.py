"""The messages of headrace.v1: what is written is read, and garbage is refused in one way."""

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.wire.cloudevents import Event
from headrace.wire.errors import MalformedError
from headrace.wire.headrace_v1 import (
    START_EARLIEST,
    START_LATEST,
    Closing,
    Committed,
    Delivery,
    EventBatch,
    Opened,
    OpenPublish,
    OpenSubscription,
    Outcome,
    Settlement,
    Subscribed,
    SubscribeRequest,
    SubscribeResponse,
    read_publish_request,
    read_publish_response,
    read_retire,
    read_subscribe_request,
    read_subscribe_response,
    write_event,
    write_event_batch,
    write_publish_request,
    write_publish_response,
    write_retire,
    write_subscribe_request,
    write_subscribe_response,
)

TEXTS = st.text(max_size=8)
OPTIONAL = st.none() | TEXTS
UINT32 = st.integers(0, 2**32 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
OFFSETS = st.integers(0, 2**63 - 1)
EVENTS = st.builds(
    Event,
    *(TEXTS, TEXTS, TEXTS, st.none() | st.binary(max_size=8)),
    *(OPTIONAL, OPTIONAL, OPTIONAL, OPTIONAL),
    st.dictionaries(TEXTS, TEXTS, max_size=3),
)
DELIVERIES = st.builds(
    Delivery,
    *(UINT32, INT64, UINT32, INT64, EVENTS),
    st.lists(st.tuples(TEXTS, st.none() | st.binary(max_size=4)), max_size=3).map(tuple),
)
STARTS = st.sampled_from([START_LATEST, START_EARLIEST]) | OFFSETS
SUBSCRIBE_REQUESTS = st.builds(
    SubscribeRequest,
    st.none()
    | st.builds(OpenSubscription, TEXTS, TEXTS, st.none() | st.booleans(), STARTS, UINT32),
    st.lists(st.builds(Settlement, UINT32, INT64, INT64, st.sampled_from(Outcome), UINT32)),
)
READERS = [
    read_publish_request,
    read_publish_response,
    read_retire,
    read_subscribe_request,
    read_subscribe_response,
]


@settings(max_examples=40)
@given(st.builds(OpenPublish, TEXTS, st.booleans(), TEXTS))
def test_publish_is_opened(request: OpenPublish) -> None:
    assert read_publish_request(memoryview(write_publish_request(request))) == request


@settings(max_examples=40)
@given(OFFSETS, st.lists(EVENTS, max_size=4))
def test_batches_of_events(first: int, events: list[Event]) -> None:
    written = write_event_batch(first, [write_event(event) for event in events])
    assert read_publish_request(memoryview(written)) == EventBatch(first, events)


@settings(max_examples=40)
@given(
    st.builds(Opened, TEXTS, OFFSETS) | st.builds(Committed, OFFSETS) | st.builds(Closing, UINT32)
)
def test_answers_to_publish(response: Any) -> None:
    assert read_publish_response(memoryview(write_publish_response(response))) == response


@settings(max_examples=40)
@given(TEXTS)
def test_retire(stream_id: str) -> None:
    assert read_retire(memoryview(write_retire(stream_id))) == stream_id


@settings(max_examples=40)
@given(SUBSCRIBE_REQUESTS)
def test_subscribe_requests(request: SubscribeRequest) -> None:
    assert read_subscribe_request(memoryview(write_subscribe_request(request))) == request


@settings(max_examples=40)
@given(
    st.builds(
        SubscribeResponse,
        st.none() | st.builds(Subscribed, TEXTS, UINT32),
        st.lists(DELIVERIES, max_size=3),
    )
)
def test_subscribe_responses(response: SubscribeResponse) -> None:
    assert read_subscribe_response(memoryview(write_subscribe_response(response))) == response


@settings(max_examples=300)
@given(st.sampled_from(READERS), st.binary())
def test_garbage_is_malformed_or_means_something(reader: Any, garbage: bytes) -> None:
    with contextlib.suppress(MalformedError):
        reader(memoryview(garbage))


def test_a_publish_request_that_says_nothing_is_malformed() -> None:
    with pytest.raises(MalformedError):
        read_publish_request(memoryview(b""))
