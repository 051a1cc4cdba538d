"""`/streams`: open ingest streams, and the partitions they are routed to, as JSON, for people and
for `headrace streams`.

    {"streams": [{"stream_id", "topic", "partition", "producer_id", "producer_epoch", "client",
                  "record_type", "persistent", "opened_ms", "messages", "durable_messages",
                  "records", "bytes", "in_flight_bytes", "behind", "closing"}],
     "topics": [{"topic", "elastic", "partitions": [{"partition", "active", "streams",
                 "bytes_per_s", "in_flight_bytes"}]}]}

`POST /streams/drain` with `?stream=ID`, or `?topic=NAME` and perhaps `&partition=N`, asks streams
to close and open anew; it answers {"asked": how many}. Times in ms since 1970, UTC. Of several
workers the first knows all streams, the others none: 421.
What must not enter: metrics.
"""

import asyncio
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from headrace.doors.http.head import Answer
from headrace.wire.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from headrace.broker.broker import Broker
    from headrace.broker.streams.lanes import Lanes

__all__ = ["drain", "streams_json"]

STREAMS_PER_TURN_MAX: Final = 200
"""Streams written before the event loop gets its turn."""

_STATUS: Final = {
    ErrorCode.RESOURCE_NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: HTTPStatus.NOT_FOUND,
    ErrorCode.POLICY_VIOLATION: HTTPStatus.CONFLICT,
    ErrorCode.NOT_CONTROLLER: HTTPStatus.MISDIRECTED_REQUEST,
    ErrorCode.KAFKA_STORAGE_ERROR: HTTPStatus.SERVICE_UNAVAILABLE,
}


async def streams_json(broker: "Broker", topic: str | None, stream: str | None) -> bytes | None:
    """None if `stream` is not open."""
    if stream is None:
        views = broker.streams.views(topic)
    else:
        found = broker.streams.by_id.get(stream)
        if found is None:
            return None
        views, topic = [found.view()], found.topic
    texts = []
    for count, view in enumerate(views, start=1):
        texts.append(json.dumps(view._asdict()))
        if count % STREAMS_PER_TURN_MAX == 0:
            await asyncio.sleep(0)
    topics = [
        _topic(lanes) for lanes in broker.streams.topics() if topic in (None, lanes.topic.name)
    ]
    return f'{{"streams":[{",".join(texts)}],"topics":{json.dumps(topics)}}}\n'.encode()


async def drain(broker: "Broker", query: dict[str, list[str]]) -> Answer:
    topic = query.get("topic", [None])[0]
    number = query.get("partition", [None])[0]
    try:
        partition = None if number is None else int(number)
    except ValueError:
        return Answer(b"partition must be a number\n", status=HTTPStatus.BAD_REQUEST)
    try:
        asked = await broker.streams.drain(
            topic=topic, partition=partition, stream=query.get("stream", [None])[0]
        )
    except RequestError as error:
        status = _STATUS.get(error.code, HTTPStatus.BAD_REQUEST)
        return Answer(f"{error.message}\n".encode(), status=status)
    return Answer(json.dumps({"asked": asked}).encode() + b"\n", "application/json")


def _topic(lanes: "Lanes") -> dict[str, Any]:
    active = {lane.partition.index for lane in lanes.active()}
    return {
        "topic": lanes.topic.name,
        "elastic": lanes.topic.config.elastic is not None,
        "partitions": [
            {
                "partition": lane.partition.index,
                "active": lane.partition.index in active,
                "streams": len(lane.streams),
                "bytes_per_s": round(lane.bytes_per_s, 1),
                "in_flight_bytes": lane.in_flight_bytes,
            }
            for lane in lanes.all()
        ],
    }
