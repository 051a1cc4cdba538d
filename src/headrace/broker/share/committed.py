"""Which batches of a range of the log hold records that count: no markers, and for readers of
committed data nothing that was aborted.

Ordinary consumers sort that out themselves, by the list that comes with a fetch; members of share
groups are only given what counts (KIP-932). What must not enter: what is inside a batch.
"""

from collections.abc import Iterable, Iterator, Sequence

from headrace.log.contract import Aborted
from headrace.wire.batch import ATTRIBUTE_CONTROL, ATTRIBUTE_TRANSACTIONAL, BatchHeader

__all__ = ["that_count"]


def that_count(headers: Iterable[BatchHeader], aborted: Sequence[Aborted]) -> Iterator[BatchHeader]:
    """`headers` are of neighbours, in order; `aborted` is what `PartitionLog.aborted_between` says
    of them, and empty for readers of everything."""
    gone: set[int] = set()
    place = 0
    for header in headers:
        while place < len(aborted) and aborted[place].first_offset <= header.base_offset:
            gone.add(aborted[place].producer_id)
            place += 1
        if header.attributes & ATTRIBUTE_CONTROL:
            gone.discard(header.producer_id)
        elif not (header.attributes & ATTRIBUTE_TRANSACTIONAL and header.producer_id in gone):
            yield header
