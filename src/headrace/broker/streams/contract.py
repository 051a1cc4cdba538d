"""What a door and the stream service promise each other.

A door that receives a producer's messages opens a stream with itself as the `StreamOwner`:

    stream = await broker.streams.open("flights", owner, client="10.1.2.3:5000")
    stream.append([b"...", b"..."])           # one call for everything a socket read brought
    if stream.is_behind:
        transport.pause_reading()             # owner.caught_up() says when to go on
    ...
    def durable(self, messages): ...          # send the ack for offset messages - 1
    ...
    await stream.drain()                      # after the client's half-close
    stream.close()                            # always, also when the connection died

Messages and records: a message is what the producer's offsets count; it holds one record, or as
many as `counts` says. An append becomes one record batch, or several if the topic's
max.message.bytes asks for that.

Error codes of `open`, `create`, `resume`, `retire` (all of them RequestError):

    UNKNOWN_TOPIC_OR_PARTITION   no such topic, and topics are not created on demand
    INVALID_TOPIC_EXCEPTION      no topic can have this name, or it is one of the broker's own
    RESOURCE_NOT_FOUND           no such persistent stream, or it was retired
    INVALID_REQUEST              a persistent stream of another record type, or another topic
    POLICY_VIOLATION             too many streams (`headrace.streams.max`), too many persistent ones
    KAFKA_STORAGE_ERROR          the catalog or every partition's log cannot be written
    LEADER_NOT_AVAILABLE         the broker is closing

What must not enter: sockets, protocols, anything that runs.
"""

from typing import Final, NamedTuple, Protocol

from headrace.wire.errors import RequestError

__all__ = [
    "IN_FLIGHT_BYTES_MAX",
    "STREAM_IN_FLIGHT_BYTES_MAX",
    "StreamOwner",
    "StreamView",
]

STREAM_IN_FLIGHT_BYTES_MAX: Final = 16 << 20
"""Bytes of a stream that are appended and not yet durable; beyond it the stream is behind."""
IN_FLIGHT_BYTES_MAX: Final = 256 << 20
"""The same of all streams together."""


class StreamOwner(Protocol):
    """Who opened a stream. All calls come on the loop's thread and must not raise; none comes
    after `IngestStream.close`."""

    def durable(self, messages: int) -> None:
        """The stream's first `messages` messages (counted from its offset 0) are as durable as the
        broker's policy promises. Rises with every call; may come before `append` returns, and
        several times within one turn of the loop: acks are the owner's to coalesce."""

    def caught_up(self) -> None:
        """The stream was found to be behind and is not any more: read on."""

    def close_asked(self, grace_ms: int) -> None:
        """Tell the producer to open another stream. Appends go on to be taken for `grace_ms`; then
        `failed` is called with NOT_LEADER_OR_FOLLOWER, unless the stream was closed."""

    def failed(self, error: RequestError) -> None:
        """The stream takes nothing more; what was not said to be durable may be or not. At most
        once. NOT_LEADER_OR_FOLLOWER: open another one at once; PRODUCER_FENCED: the persistent
        stream was resumed elsewhere, or retired; UNKNOWN_TOPIC_OR_PARTITION: the topic was
        deleted; KAFKA_STORAGE_ERROR: the disk."""


class StreamView(NamedTuple):
    """An open stream as administrators see it. Times in ms since 1970."""

    stream_id: str
    topic: str
    partition: int
    producer_id: int
    producer_epoch: int
    client: str
    record_type: str
    persistent: bool
    opened_ms: int
    messages: int
    """Taken so far; of a persistent stream since it was created."""
    durable_messages: int
    records: int
    """Since it was opened, as are the bytes."""
    bytes: int
    """Of record batches."""
    in_flight_bytes: int
    behind: bool
    closing: bool
    """It was asked to close."""
