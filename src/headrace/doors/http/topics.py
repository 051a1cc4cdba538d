"""`/topics?topic=NAME`: what a topic keeps and how long the disk lasts, as JSON, for people and for
`headrace topic describe`.

    {"topic", "size_bytes", "written_bytes_per_s",
     "partitions": [{"partition", "start", "end", "size_bytes", "oldest_ms"}],
     "volume": {"size_bytes", "free_bytes", "written_bytes_per_s", "lasts_s"}}

Times in ms since 1970, UTC; null where something is not known. What must not enter: metrics.
"""

import json
from typing import TYPE_CHECKING

from headrace.broker.kept import kept, volume_window
from headrace.wire.errors import RequestError

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["topic_json"]


async def topic_json(broker: "Broker", name: str) -> bytes | None:
    """None if there is no such topic."""
    try:
        topic = broker.topics.get(name)
    except RequestError:
        return None
    found = await kept(broker, topic)
    volume = await volume_window(broker)
    described = {
        "topic": found.topic,
        "size_bytes": sum(part.size_bytes for part in found.partitions),
        "written_bytes_per_s": found.bytes_per_s,
        "partitions": [part._asdict() for part in found.partitions],
        "volume": {
            "size_bytes": volume.size_bytes,
            "free_bytes": volume.free_bytes,
            "written_bytes_per_s": volume.bytes_per_s,
            "lasts_s": volume.lasts_s,
        },
    }
    return json.dumps(described).encode() + b"\n"
