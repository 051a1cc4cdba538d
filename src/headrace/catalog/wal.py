"""Whether the catalog's write-ahead log was torn by a crash, or damaged after it was synced.

SQLite takes the first frame that does not match its checksum for the end of the log. After a crash
that is right for what was being written; for a frame that was synced and has changed since it is
not: every commit from there on would be gone, with offsets that were acknowledged. So this looks
first. What SQLite passes over is damage when it is known to have been synced:

- `catalog.db-shm`, which is written after each sync and survives the process, says how many frames
  there were; or
- a commit ends at the bad frame or behind it, and a frame goes on from its checksum: a commit is
  synced before the next one begins; or
- the header is bad: it is synced before the first frame.

A frame that goes on from any other one proves nothing. What was rolled back, or had no time to be
synced, stays there until it is written over, and so may end up behind a frame that was torn later.

After a power cut that took the map too, a changed frame of the last commit looks like a torn one.
The formats are SQLite's ("WAL-Mode File Format", "Database File Format" section 4). Pure: bytes in,
a sentence out. What must not enter: files.
"""

import sys
from array import array
from itertools import pairwise
from struct import Struct
from typing import Final, NamedTuple

__all__ = ["damage_in"]

_HEADER: Final = Struct(">8I")
_FRAME: Final = Struct(">6I")
_MAGIC: Final = 0x377F0682
"""The last bit says that checksums read words as big-endian."""
_VERSION: Final = 3_007_000
_PAGE_BYTES: Final = frozenset(1 << bits for bits in range(9, 17))
_MASK: Final = 0xFFFFFFFF

_MAP: Final = Struct("=3I2BH8I")
"""The header of the map, in the order of bytes of the machine; it stands there twice."""
_MAP_SUMMED_BYTES: Final = 40

Checksum = tuple[int, int]


class _Frame(NamedTuple):
    page: int
    pages_after_commit: int
    """0 unless the frame ends a commit."""
    salt: tuple[int, int]
    checksum: Checksum
    """Of everything up to the end of this frame."""


def damage_in(log: bytes, shared_map: bytes, *, is_cut: bool = False) -> str | None:
    """Why the write-ahead log `log` must not be used; None if it is whole, or torn by a crash.
    `shared_map` is what is left of the `-shm` file. `is_cut`: there is more of the log than this.
    """
    if len(log) < _HEADER.size:
        return None
    magic, version, page_bytes, _, *salts, sum_1, sum_2 = _HEADER.unpack_from(log)
    swaps = (magic & 1) == (sys.byteorder == "little")
    is_ours = magic & ~1 == _MAGIC and version == _VERSION and page_bytes in _PAGE_BYTES
    so_far = _add(memoryview(log)[: _HEADER.size - 8], (0, 0), swaps)
    if not is_ours or so_far != (sum_1, sum_2):
        return "its header is bad" if len(log) > _HEADER.size else None
    salt = (salts[0], salts[1])
    size = _FRAME.size + page_bytes
    starts = range(_HEADER.size, len(log) - size + 1, size)
    frames = [_frame(log, start) for start in starts]
    valid = 0
    for frame, start in zip(frames, starts, strict=True):
        so_far = _sum_frame(log, start, page_bytes, so_far, swaps)
        if frame.salt != salt or not frame.page or frame.checksum != so_far:
            break
        valid += 1
    synced = _frames_in_map(shared_map, salt)
    if is_cut:
        synced = min(synced, len(frames))
    if valid < synced:
        return f"frame {valid + 1} is bad, and {synced} were synced"
    for at, (before, frame) in enumerate(pairwise(frames[valid:]), start=valid + 1):
        ended = before.salt == salt and before.pages_after_commit
        if ended and frame.salt == salt and frame.page:
            found = _sum_frame(log, starts[at], page_bytes, before.checksum, swaps)
            if found == frame.checksum:
                return f"frame {valid + 1} is bad, and valid ones of later commits follow"
    return None


def _frame(log: bytes, start: int) -> _Frame:
    page, pages_after_commit, salt_1, salt_2, sum_1, sum_2 = _FRAME.unpack_from(log, start)
    return _Frame(page, pages_after_commit, (salt_1, salt_2), (sum_1, sum_2))


def _sum_frame(log: bytes, start: int, page_bytes: int, so_far: Checksum, swaps: bool) -> Checksum:
    view = memoryview(log)
    content = start + _FRAME.size
    so_far = _add(view[start : start + 8], so_far, swaps)
    return _add(view[content : content + page_bytes], so_far, swaps)


def _add(data: memoryview | bytes, so_far: Checksum, swaps: bool) -> Checksum:
    """SQLite's checksum over words of four bytes, taken in pairs: here four pairs a round, which is
    twice as fast; a log of 4 MiB takes 0.1 s."""
    words = array("I", bytes(data))
    if swaps:
        words.byteswap()
    x, y = so_far
    whole = len(words) - len(words) % 8
    eight = [iter(words[:whole])] * 8
    for a, b, c, d, e, f, g, h in zip(*eight, strict=True):
        x += a + y
        y += b + x
        x += c + y
        y += d + x
        x += e + y
        y += f + x
        x = (x + g + y) & _MASK
        y = (y + h + x) & _MASK
    for first, second in zip(words[whole::2], words[whole + 1 :: 2], strict=True):
        x = (x + first + y) & _MASK
        y = (y + second + x) & _MASK
    return x, y


def _frames_in_map(shared_map: bytes, salt: tuple[int, int]) -> int:
    """How many frames of the log with `salt` had been synced by what the map says; 0 if it says
    nothing of this log."""
    head = shared_map[: _MAP.size]
    if len(head) < _MAP.size or head != shared_map[_MAP.size : 2 * _MAP.size]:
        return 0
    fields = _MAP.unpack(head)
    frames, sum_1, sum_2 = fields[6], fields[-2], fields[-1]
    salts = Struct(">2I").unpack_from(head, 32)  # copied from the log as they stand there
    if _add(head[:_MAP_SUMMED_BYTES], (0, 0), False) != (sum_1, sum_2) or salts != salt:
        return 0
    return int(frames)
