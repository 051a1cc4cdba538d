"""The answer to a ShareFetch, written by hand: its records stay in their files.

What it says is declared in `messages.k78_share_fetch`; versions 1 and 2 (both flexible) are laid
out alike:

    throttle_time_ms i32 | error_code i16 | error_message | acquisition_lock_timeout_ms i32
    responses: array of (topic_id, partitions: array of
        (index i32, error_code i16, error_message, acknowledge_error_code i16,
         acknowledge_error_message, current_leader (leader_id i32, leader_epoch i32), records bytes,
         acquired_records: array of (first_offset i64, last_offset i64, delivery_count i16)))
    node_endpoints: array of (node_id i32, host, port i32, rack)
"""

import struct
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from headrace.wire.cursor import write_compact_string, write_uvarint
from headrace.wire.messages.k78_share_fetch import (
    AcquiredRecords,
    ShareFetchResponse,
    ShareFetchResponsePartition,
)

__all__ = ["write_share_fetch"]

_NO_TAGS: Final = 0
_I32: Final = struct.Struct(">i")
_HEAD: Final = struct.Struct(">ih")
_LEADER: Final = struct.Struct(">iix")
_ACQUIRED: Final = struct.Struct(">qqhx")
_NO_UUID: Final = UUID(int=0)


def write_share_fetch(
    response: ShareFetchResponse, sizes: Sequence[int], correlation_id: int
) -> list[bytes]:
    """The response frame, cut where records belong; `sizes` are those of each partition's records
    in bytes, in order, and what the message itself has as records is overlooked.

    Returns len(sizes) + 1 pieces: send piece 0, the records of partition 0, piece 1, and so on.
    """
    pieces: list[bytes] = []
    out = bytearray(4)
    out += struct.pack(">ib", correlation_id, _NO_TAGS)
    out += _HEAD.pack(response.throttle_time_ms, response.error_code)
    write_compact_string(out, response.error_message)
    out += _I32.pack(response.acquisition_lock_timeout_ms)
    write_uvarint(out, len(response.responses) + 1)
    remaining = iter(sizes)
    for topic in response.responses:
        out += (topic.topic_id or _NO_UUID).bytes
        write_uvarint(out, len(topic.partitions) + 1)
        for partition in topic.partitions:
            _write_before_records(out, partition, next(remaining))
            pieces.append(bytes(out))
            out = bytearray()
            _write_acquired(out, partition.acquired_records)
        out.append(_NO_TAGS)
    write_uvarint(out, len(response.node_endpoints) + 1)
    for node in response.node_endpoints:
        out += _I32.pack(node.node_id)
        write_compact_string(out, node.host)
        out += _I32.pack(node.port)
        write_compact_string(out, node.rack)
        out.append(_NO_TAGS)
    out.append(_NO_TAGS)
    pieces.append(bytes(out))
    size = sum(map(len, pieces)) + sum(sizes) - 4
    pieces[0] = _I32.pack(size) + pieces[0][4:]
    return pieces


def _write_before_records(
    out: bytearray, partition: ShareFetchResponsePartition, size_bytes: int
) -> None:
    out += _HEAD.pack(partition.partition_index, partition.error_code)
    write_compact_string(out, partition.error_message)
    out += struct.pack(">h", partition.acknowledge_error_code)
    write_compact_string(out, partition.acknowledge_error_message)
    leader = partition.current_leader
    out += _LEADER.pack(leader.leader_id, leader.leader_epoch)
    write_uvarint(out, size_bytes + 1)


def _write_acquired(out: bytearray, acquired: Sequence[AcquiredRecords]) -> None:
    write_uvarint(out, len(acquired) + 1)
    for run in acquired:
        out += _ACQUIRED.pack(run.first_offset, run.last_offset, run.delivery_count)
    out.append(_NO_TAGS)
