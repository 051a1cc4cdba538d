"""A segment's index from its file, or from the segment itself when the file is not to be trusted.

Blocks on the disk: threads only. What must not enter: bytes behind the recovery point (`recovery`
reads those, with their CRCs).
"""

import logging

from headrace.log import disk
from headrace.log.contract import CorruptLogError
from headrace.log.index import SparseIndex
from headrace.log.segment import BadBatchError, ReadAt, Segment, walk

__all__ = ["load_index"]

_log = logging.getLogger(__name__)


def load_index(segment: Segment, read: ReadAt, interval_bytes: int) -> SparseIndex:
    """The index of the segment's `size_bytes` bytes. Raises CorruptLogError if it had to be
    rebuilt and the segment is damaged; OSError."""
    try:
        data = disk.read_file(segment.index_path)
        index, covered_bytes = SparseIndex.decode(data, segment.base_offset)
        if covered_bytes >= segment.size_bytes and len(index):
            index.cut(segment.size_bytes)
            return index
        why = f"it covers {covered_bytes} of {segment.size_bytes} bytes"
    except FileNotFoundError:
        why = "it is missing"
    except ValueError as error:
        why = str(error)
    if segment.size_bytes:
        _log.info("rebuilding %s: %s", segment.index_path, why)
    return _rebuilt(segment, read, interval_bytes)


def _rebuilt(segment: Segment, read: ReadAt, interval_bytes: int) -> SparseIndex:
    copy = Segment(segment.directory, segment.base_offset, 0)
    try:
        for placed in walk(read, 0, segment.base_offset, segment.size_bytes):
            copy.add(*placed, interval_bytes)
    except BadBatchError as error:
        raise CorruptLogError(f"{segment.path} is damaged {error}") from error
    return copy.index
