"""A batch or its records as lines: what `headrace log dump` prints.

What must not enter: options, files.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from headrace.cli.failure import note
from headrace.cli.records import Received
from headrace.wire.batch import (
    ATTRIBUTE_CODEC_MASK,
    ATTRIBUTE_CONTROL,
    ATTRIBUTE_DELETE_HORIZON,
    ATTRIBUTE_LOG_APPEND_TIME,
    ATTRIBUTE_TRANSACTIONAL,
    BatchHeader,
)
from headrace.wire.compression import Codec
from headrace.wire.errors import MalformedError
from headrace.wire.records import read_records

if TYPE_CHECKING:
    from headrace.server.offline import PartitionPlace

__all__ = ["batch_json", "batch_text", "received"]

_FLAGS: Final = {
    ATTRIBUTE_LOG_APPEND_TIME: "append_time",
    ATTRIBUTE_TRANSACTIONAL: "transactional",
    ATTRIBUTE_CONTROL: "control",
    ATTRIBUTE_DELETE_HORIZON: "delete_horizon",
}


def received(place: "PartitionPlace", header: BatchHeader, batch: bytes) -> Iterator[Received]:
    """The records of a batch; a note says where they cannot be read."""
    try:
        for record in read_records(batch):
            yield Received(
                *(place.topic, place.partition, record.offset),
                *(None if record.timestamp_ms < 0 else record.timestamp_ms, record.key),
                *(record.value, list(record.headers)),
            )
    except MalformedError as error:
        note(f"{place.label}: the records of the batch at offset {header.base_offset}: {error}")


def batch_text(place: "PartitionPlace", path: str, header: BatchHeader, position: int) -> str:
    parts = [
        f"{place.label}  {header.base_offset}-{header.last_offset}",
        f"{header.records_count} records" if header.records_count != 1 else "1 record",
        f"{os.path.basename(path)}:{position}+{header.size_bytes}",
        _codec(header),
        f"max_timestamp={header.max_timestamp}",
    ]
    if header.producer_id >= 0:
        parts.append(
            f"producer={header.producer_id}:{header.producer_epoch}:{header.base_sequence}"
        )
    return "  ".join([*parts, *_flags(header)])


def batch_json(
    place: "PartitionPlace", path: str, header: BatchHeader, position: int
) -> dict[str, Any]:
    return {
        "topic": place.topic,
        "partition": place.partition,
        "file": path,
        "position": position,
        "bytes": header.size_bytes,
        "base_offset": header.base_offset,
        "last_offset": header.last_offset,
        "records": header.records_count,
        "codec": _codec(header),
        "base_timestamp_ms": header.base_timestamp,
        "max_timestamp_ms": header.max_timestamp,
        "producer_id": header.producer_id,
        "producer_epoch": header.producer_epoch,
        "base_sequence": header.base_sequence,
        "leader_epoch": header.leader_epoch,
        "flags": _flags(header),
    }


def _flags(header: BatchHeader) -> list[str]:
    return [name for bit, name in _FLAGS.items() if header.attributes & bit]


def _codec(header: BatchHeader) -> str:
    codec = header.attributes & ATTRIBUTE_CODEC_MASK
    return Codec(codec).name.lower() if codec in set(Codec) else str(codec)
