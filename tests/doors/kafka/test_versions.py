"""What is advertised is served in every version, and nothing else is."""

import struct
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest

from headrace.doors.kafka import k00_produce
from headrace.doors.kafka.registry import advertised, apis
from headrace.testing import RunningBroker, running_broker
from headrace.testing.hot_messages import (
    FetchRequest,
    FetchResponse,
    ProduceRequest,
    ProduceResponse,
)
from headrace.testing.raw_client import RawClient, batch
from headrace.wire.apis import FIRST_FLEXIBLE, ApiKey
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k18_api_versions import ApiVersionsRequest, ApiVersionsResponse

Connect = Callable[..., RawClient]

SERVED = advertised()
HOT = {
    ApiKey.PRODUCE: (ProduceRequest, ProduceResponse),
    ApiKey.FETCH: (FetchRequest, FetchResponse),
}
KEYS = [pytest.param(key, id=ApiKey(key).name) for key in SERVED]


def messages_of(key: int) -> tuple[type[Any], type[Any]]:
    if key in HOT:
        return HOT[ApiKey(key)]
    request = apis()[key].request
    name = request.__name__.removesuffix("Request") + "Response"
    return request, getattr(import_module(request.__module__), name)


def first_decoded(key: int) -> int:
    return k00_produce.FIRST_VERSION if key == ApiKey.PRODUCE else SERVED[key][0]


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningBroker]:
    with running_broker() as broker:
        broker.create_topic("t")
        yield broker


@pytest.mark.parametrize("key", KEYS)
def test_every_advertised_version_is_answered(
    key: int, shared: RunningBroker, connect: Connect
) -> None:
    request, response = messages_of(key)
    client = connect(shared)
    for version in range(first_decoded(key), SERVED[key][1] + 1):
        assert isinstance(client.ask(request(), response, version), response)


@pytest.mark.parametrize(
    "key", [key for key in KEYS if key.values != (ApiKey.API_VERSIONS,)]
)  # that one is asked in any version: see below
def test_versions_outside_the_range_close_the_connection(
    key: int, shared: RunningBroker, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    request, response = messages_of(key)
    for version in (first_decoded(key) - 1, SERVED[key][1] + 1, 0x7FFF, -1, -0x8000):
        caplog.clear()
        client = connect(shared)
        body = client.head(key, max(version, 0))
        client.send_frame(body[:2] + struct.pack(">h", version) + body[4:] + bytes(40))
        assert client.is_hung_up(), version
        assert f"{ApiKey(key).name} version {version}" in caplog.text
    assert connect(shared).ask(request(), response, SERVED[key][1])


@pytest.mark.parametrize("version", [5, 6, 99, 0x7FFF])
def test_an_unknown_version_of_api_versions_is_answered_in_version_0(
    version: int, shared: RunningBroker, connect: Connect
) -> None:
    client = connect(shared)
    client.send_frame(client.head(ApiKey.API_VERSIONS, version) + b"whatever it says then")
    correlation_id, answer = client.read_answer(ApiVersionsResponse, 0)
    assert correlation_id == client.correlation_id
    assert answer.error_code == ErrorCode.UNSUPPORTED_VERSION
    (own,) = answer.api_keys
    assert (own.api_key, own.min_version, own.max_version) == (18, *SERVED[ApiKey.API_VERSIONS])
    asked_again = client.ask(ApiVersionsRequest("raw", "1"), ApiVersionsResponse, own.max_version)
    assert asked_again.error_code == 0


def test_api_versions_says_what_is_served(shared: RunningBroker, connect: Connect) -> None:
    answer = connect(shared).ask(ApiVersionsRequest("raw", "1.0"), ApiVersionsResponse, 3)
    told = {key.api_key: (key.min_version, key.max_version) for key in answer.api_keys}
    assert told == SERVED


@pytest.mark.parametrize("key", [-1, 4, 5, 6, 7, 17, 52, 71, 72, 1000, 0x7FFF, -0x8000])
def test_an_unknown_api_closes_the_connection(
    key: int, shared: RunningBroker, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    assert key not in SERVED
    client = connect(shared)
    client.send_frame(struct.pack(">hhih", key, 0, 1, -1))
    assert client.is_hung_up()
    assert f"API key {key}" in caplog.text


@pytest.mark.parametrize("version", range(3, 14))
def test_what_any_produce_version_wrote_any_fetch_version_reads(
    version: int, shared: RunningBroker, connect: Connect
) -> None:
    topic_id = shared.node.broker.topics.by_name["t"].id
    client = connect(shared)
    topic = topic_id if version >= 13 else "t"
    answer = client.produce(topic, 0, batch([b"%d" % version]), version=version)
    assert answer.error_code == 0
    for fetch_version in range(4, 19):
        topic = topic_id if fetch_version >= 13 else "t"
        data = client.fetch(topic, 0, answer.base_offset, version=fetch_version)
        assert (data.error_code, data.high_watermark) == (0, answer.base_offset + 1)
        assert b"%d" % version in (data.records or b"")


def test_a_tagged_field_that_nobody_knows_is_ignored(
    shared: RunningBroker, connect: Connect
) -> None:
    request, response = messages_of(ApiKey.METADATA)
    client = connect(shared)
    version = FIRST_FLEXIBLE[ApiKey.METADATA]
    plain = client.framed(request(), version)[4:]
    assert plain.endswith(b"\0")
    client.send_frame(plain[:-1] + b"\x01\x63\x03new")
    assert client.read_answer(response, version)[0] == client.correlation_id
