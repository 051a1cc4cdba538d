"""A request finds its handler, or a reason to close the connection; an answer gets its header."""

import struct

import pytest

from headrace.doors.kafka.dispatch import decode_request, encode_response, find_api
from headrace.doors.kafka.registry import advertised, apis
from headrace.wire import schema
from headrace.wire.apis import FIRST_FLEXIBLE, ApiKey
from headrace.wire.errors import MalformedError
from headrace.wire.header import RequestHead, read_request_head
from headrace.wire.messages.k12_heartbeat import HeartbeatRequest, HeartbeatResponse
from headrace.wire.messages.k18_api_versions import ApiVersionsRequest, ApiVersionsResponse


def head(key: int, version: int, body: int = 0) -> RequestHead:
    return RequestHead(key, version, 77, "tests", body)


def test_every_handler_declares_its_key_once_and_a_range_that_its_messages_cover() -> None:
    for key, api in apis().items():
        assert api.key == key
        assert schema.api_key_of(api.request) == key
        first, last = api.versions
        assert set(range(first, last + 1)) <= set(schema.versions_of(api.request))
        assert advertised()[key] == api.versions
        assert key in FIRST_FLEXIBLE


def test_the_minima_that_old_clients_look_for_are_advertised() -> None:
    """librdkafka before 2.11 enables features by asking for exact versions inside the range."""
    looked_for = {
        ApiKey.PRODUCE: (3, 7),
        ApiKey.FETCH: (4, 10),
        ApiKey.LIST_OFFSETS: (1,),
        ApiKey.OFFSET_COMMIT: (2,),
        ApiKey.OFFSET_FETCH: (1,),
        ApiKey.FIND_COORDINATOR: (0,),
        ApiKey.JOIN_GROUP: (0,),
        ApiKey.SYNC_GROUP: (0,),
        ApiKey.HEARTBEAT: (0,),
        ApiKey.LEAVE_GROUP: (0,),
        ApiKey.API_VERSIONS: (0,),
        ApiKey.INIT_PRODUCER_ID: (0,),
        ApiKey.OFFSET_FOR_LEADER_EPOCH: (2,),
    }
    for key, versions in looked_for.items():
        first, last = advertised()[key]
        assert all(first <= version <= last for version in versions), key
    assert advertised()[ApiKey.PRODUCE][0] == 0


def test_unknown_apis_and_versions_are_malformed() -> None:
    for key, version in ((999, 0), (ApiKey.HEARTBEAT, 5), (ApiKey.HEARTBEAT, -1)):
        with pytest.raises(MalformedError, match="not served"):
            find_api(head(key, version))


def test_api_versions_is_found_whatever_the_version() -> None:
    api = find_api(head(ApiKey.API_VERSIONS, 30_000))
    assert decode_request(api, head(ApiKey.API_VERSIONS, 30_000), memoryview(b"any")) == (
        ApiVersionsRequest()
    )


def test_a_request_is_detached_from_the_buffer_it_came_in() -> None:
    body = bytearray(schema.encode(HeartbeatRequest(group_id="team", member_id="m"), 0))
    api = find_api(head(ApiKey.HEARTBEAT, 0))
    request = decode_request(api, head(ApiKey.HEARTBEAT, 0), memoryview(body))
    body[:] = bytes(len(body))
    assert (request.group_id, request.member_id) == ("team", "m")


@pytest.mark.parametrize(("version", "tags"), [(3, b""), (4, b"\0")])
def test_an_answer_has_the_header_of_its_version(version: int, tags: bytes) -> None:
    api = find_api(head(ApiKey.HEARTBEAT, version))
    frame = encode_response(api, head(ApiKey.HEARTBEAT, version), HeartbeatResponse())
    size, correlation_id = struct.unpack_from(">ii", frame)
    assert (size, correlation_id) == (len(frame) - 4, 77)
    assert frame[8:] == tags + schema.encode(HeartbeatResponse(), version)


@pytest.mark.parametrize("version", [0, 3, 4, 99])
def test_api_versions_answers_without_tags_in_its_header(version: int) -> None:
    """The client cannot know yet what the broker speaks (KIP-511)."""
    api = find_api(head(ApiKey.API_VERSIONS, version))
    frame = encode_response(api, head(ApiKey.API_VERSIONS, version), ApiVersionsResponse())
    encoded = schema.encode(ApiVersionsResponse(), version if version <= api.versions[1] else 0)
    assert frame[8:] == encoded


def test_the_head_of_a_request_is_read_in_both_forms() -> None:
    classic = struct.pack(">hhih", 12, 3, 5, 4) + b"me-1" + b"body"
    assert read_request_head(memoryview(classic)) == (12, 3, 5, "me-1", 14)
    flexible = struct.pack(">hhih", 12, 4, 5, -1) + b"\x01\x07\x02xy" + b"body"
    assert read_request_head(memoryview(flexible)) == (12, 4, 5, None, 15)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">hhi", 12, 3, 5),
        struct.pack(">hhih", 12, 3, 5, 40) + b"short",
        struct.pack(">hhih", 12, 3, 5, -2),
        struct.pack(">hhih", 12, 4, 5, -1),
        struct.pack(">hhih", 12, 4, 5, -1) + b"\x02\x00",
        struct.pack(">hhih", 12, 4, 5, -1) + b"\xff\xff\xff\xff\xff\xff",
    ],
)
def test_a_head_that_makes_no_sense_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        read_request_head(memoryview(data))
