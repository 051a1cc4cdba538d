"""The segments of one log, in the order of offsets: the last one is active, the others sealed.

What must not enter: files' contents, durability.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import attrgetter

from headrace.log.segment import Segment

__all__ = ["Segments"]

_BASE_OFFSET = attrgetter("base_offset")


class Segments:
    """Never empty."""

    def __init__(self, segments: list[Segment]) -> None:
        self._segments = segments
        self.active = segments[-1]

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._segments)

    def __len__(self) -> int:
        return len(self._segments)

    @property
    def size_bytes(self) -> int:
        return self.active.end_bytes - self._segments[0].start_bytes

    def find(self, offset: int) -> Segment:
        """The segment that holds `offset`, if any does."""
        return self._segments[bisect_right(self._segments, offset, key=_BASE_OFFSET) - 1]

    def holds(self, offset: int) -> bool:
        """Whether there is a segment for `offset`, if it was ever written."""
        return offset >= self._segments[0].base_offset

    def roll(self) -> Segment:
        """Begin a new active segment behind the active one. Raises OSError, changing nothing."""
        sealed = self.active
        segment = Segment(sealed.directory, sealed.end_offset, sealed.end_bytes)
        segment.open_new()
        self._segments.append(segment)
        self.active = segment
        return segment

    def before(self, offset: int) -> list[Segment]:
        """The sealed segments that end at or before `offset`."""
        return [segment for segment in self._segments[:-1] if segment.end_offset <= offset]

    def replace(self, sources: Sequence[Segment], segment: Segment) -> None:
        """`segment` holds what is left of the sealed `sources`, which follow each other."""
        at = self._segments.index(sources[0])
        segment.start_bytes = sources[-1].end_bytes - segment.size_bytes
        freed_bytes = segment.start_bytes - sources[0].start_bytes
        for earlier in self._segments[:at]:
            earlier.start_bytes += freed_bytes
        for source in sources:
            source.dropped = True
        self._segments[at : at + len(sources)] = [segment]

    def drop(self, segments: list[Segment]) -> None:
        """Leading segments are no longer part of the log."""
        for segment in segments:
            segment.dropped = True
        del self._segments[: len(segments)]
