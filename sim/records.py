"""What a consumer makes of the bytes of a fetch: batches, and the records that it may show."""

from collections.abc import Iterable, Iterator, Sequence

from headrace.testing.hot_messages import AbortedTransaction
from headrace.wire.batch import (
    ATTRIBUTE_CONTROL,
    ATTRIBUTE_TRANSACTIONAL,
    BatchHeader,
    crc_matches,
    peek,
)
from headrace.wire.markers import read_marker
from headrace.wire.records import Record, read_records

__all__ = ["batches_in", "next_offset", "visible_records"]


def batches_in(data: bytes) -> Iterator[tuple[BatchHeader, memoryview]]:
    """Whole batches. Raises ValueError for one whose checksum is wrong."""
    view = memoryview(data)
    while view:
        header = peek(view)
        batch = view[: header.size_bytes]
        if not crc_matches(batch, header):
            raise ValueError(f"the batch at offset {header.base_offset} is damaged")
        yield header, batch
        view = view[header.size_bytes :]


def next_offset(data: bytes) -> int:
    """The one after the last batch, whose last records compaction may have removed."""
    return max(header.next_offset for header, _ in batches_in(data))


def visible_records(
    data: bytes, offset: int, aborted: Sequence[AbortedTransaction] | None = None
) -> list[Record]:
    """Those from `offset` on that are no markers, and not of an aborted transaction."""
    return list(_visible(data, offset, sorted(aborted or (), key=lambda one: one.first_offset)))


def _visible(data: bytes, offset: int, aborted: Iterable[AbortedTransaction]) -> Iterator[Record]:
    waiting = list(aborted)
    hidden: set[int] = set()
    for header, batch in batches_in(data):
        while waiting and waiting[0].first_offset <= header.last_offset:
            hidden.add(waiting.pop(0).producer_id)
        if header.attributes & ATTRIBUTE_CONTROL:
            marker = read_marker(batch, header.producer_id, header.producer_epoch)
            if marker is not None and not marker.commit:
                hidden.discard(header.producer_id)
        elif not (header.attributes & ATTRIBUTE_TRANSACTIONAL and header.producer_id in hidden):
            yield from (record for record in read_records(batch) if record.offset >= offset)
