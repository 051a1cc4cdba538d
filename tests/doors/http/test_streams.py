"""What the HTTP door shows of streams, and does to them."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from headrace.testing import RunningBroker


class _Door:
    def __init__(self) -> None:
        self.graces: list[int] = []

    def durable(self, messages: int) -> None: ...
    def caught_up(self) -> None: ...
    def failed(self, error: Any) -> None: ...

    def close_asked(self, grace_ms: int) -> None:
        self.graces.append(grace_ms)


def opened(broker: RunningBroker, topic: str = "t") -> Any:
    async def open_(node: Any) -> Any:
        stream = await node.broker.streams.open(topic, _Door(), client="me:1")
        stream.append([b"x" * 10] * 5)
        await stream.drain()
        return stream

    return broker.call(open_)


def post(broker: RunningBroker, path: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(broker.http_url + path, method="POST", headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_streams_are_shown_with_what_they_wrote(
    seen_broker: RunningBroker, get: Callable[..., Any]
) -> None:
    stream = opened(seen_broker)
    opened(seen_broker, "u")
    shown = json.loads(get(seen_broker, "/streams?topic=t").text)
    [found] = shown["streams"]
    assert found["stream_id"] == stream.id
    assert (found["records"], found["durable_messages"], found["client"]) == (5, 5, "me:1")
    [topic] = shown["topics"]
    assert (topic["topic"], topic["elastic"], topic["partitions"][0]["streams"]) == ("t", False, 1)
    assert len(json.loads(get(seen_broker, "/streams").text)["streams"]) == 2
    assert json.loads(get(seen_broker, f"/streams?stream={stream.id}").text)["streams"] == [found]
    assert get(seen_broker, "/streams?stream=none").status == 404


def test_a_stream_is_drained_by_post_alone(
    seen_broker: RunningBroker, get: Callable[..., Any]
) -> None:
    stream = opened(seen_broker)
    assert get(seen_broker, f"/streams/drain?stream={stream.id}").status == 405
    assert post(seen_broker, "/streams/drain?topic=t", Origin="http://elsewhere")[0] == 403
    assert not stream.is_closing
    assert post(seen_broker, f"/streams/drain?stream={stream.id}") == (200, '{"asked": 1}\n')
    assert stream.is_closing
    assert post(seen_broker, "/streams/drain?stream=none")[0] == 404
    assert post(seen_broker, "/streams/drain?topic=none")[0] == 404
    assert post(seen_broker, "/streams/drain?topic=t&partition=x")[0] == 400
    assert post(seen_broker, "/streams/drain")[0] == 400
    assert post(seen_broker, "/metrics")[0] == 405


def test_streams_are_counted(seen_broker: RunningBroker, scrape: Callable[..., Any]) -> None:
    opened(seen_broker)
    values = scrape(seen_broker)
    assert values("headrace_streams", topic="t") == 1
    assert values("headrace_stream_active_partitions", topic="t") == 1
    assert values("headrace_streams_opened_total", how="open") == 1
    assert values("headrace_stream_records_total") == 5
    assert values("headrace_stream_decisions_total", action="bind") == 1
    assert values("headrace_stream_ack_duration_seconds_count") == 1
    assert values("headrace_stream_in_flight_bytes") == 0
