"""What is written by hand is what the declared message would be, cut at its records."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from headrace.wire import schema
from headrace.wire.messages.k78_share_fetch import (
    AcquiredRecords,
    ShareFetchResponse,
    ShareFetchResponsePartition,
    ShareFetchResponseTopic,
    ShareLeaderIdAndEpoch,
    ShareNodeEndpoint,
)
from headrace.wire.share_fetch import write_share_fetch

I16 = st.integers(-1, 2**15 - 1)
I32 = st.integers(-1, 2**31 - 1)
I64 = st.integers(-1, 2**63 - 1)
TEXT = st.none() | st.text(max_size=9)
PARTITION = st.builds(
    ShareFetchResponsePartition,
    *(I32, I16, TEXT, I16, TEXT),
    st.builds(ShareLeaderIdAndEpoch, I32, I32),
    st.binary(max_size=300),
    st.lists(st.builds(AcquiredRecords, I64, I64, I16), max_size=3),
)
TOPIC = st.builds(
    ShareFetchResponseTopic,
    st.none() | st.integers(1, 2**128 - 1).map(lambda number: UUID(int=number)),
    st.lists(PARTITION, max_size=3),
)
NODE = st.builds(ShareNodeEndpoint, I32, st.text(max_size=9), I32, TEXT)
RESPONSE = st.builds(
    ShareFetchResponse,
    *(I32, I16, TEXT, I32),
    st.lists(TOPIC, max_size=3),
    st.lists(NODE, max_size=2),
)


@given(RESPONSE, I32, st.sampled_from([1, 2]))
def test_pieces_and_records_together_are_the_message(
    response: ShareFetchResponse, correlation_id: int, version: int
) -> None:
    records = [bytes(part.records) for topic in response.responses for part in topic.partitions]
    pieces = write_share_fetch(response, [len(part) for part in records], correlation_id)
    frame = pieces[0]
    for part, piece in zip(records, pieces[1:], strict=True):
        frame += part + piece
    body = schema.encode(response, version)
    head = correlation_id.to_bytes(4, "big", signed=True) + b"\0"
    assert frame == (len(head) + len(body)).to_bytes(4, "big") + head + body
