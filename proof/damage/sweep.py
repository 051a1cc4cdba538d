"""Change one byte, look, judge; for every byte of every file of a specimen.

It must hold, whatever was changed: nothing is believed that was not written, and every batch is
either given as it was or somebody is told, by its file or at its offset; all other batches can be
read; the log's own account of itself is as it was; and `headrace log verify` finds every change of
a segment.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from headrace.log.inspecting import inspect, read_batches
from headrace.log.marks import Marks
from headrace.wire.batch import peek
from proof.damage.reading import Seen, look
from proof.damage.specimen import TOPIC, Specimen

__all__ = ["Change", "Report", "flips", "judge", "moved", "starts_of", "sweep", "try_change"]

BITS: Final = range(8)


class Change(NamedTuple):
    """Bytes of one file from `position` on become `data`."""

    file: str
    position: int
    data: bytes

    def apply(self, files: dict[str, bytes]) -> bytes:
        old = files[self.file]
        return old[: self.position] + self.data + old[self.position + len(self.data) :]


def moved(specimen: Specimen) -> Iterator[Change]:
    """A batch in the place of another of its size: in the same segment, and in another one."""
    batches = [
        (name, placed, data[placed : placed + peek(data, placed).size_bytes])
        for name, data in specimen.files.items()
        if name.endswith(".log")
        for placed in _starts(data)
    ]
    for name, position, there in batches:
        for _, _, other in batches:
            if len(other) == len(there) and other != there:
                yield Change(name, position, other)


def _starts(data: bytes) -> Iterator[int]:
    position = 0
    while position < len(data):
        yield position
        position += peek(data, position).size_bytes


@dataclass(slots=True)
class Report:
    """How changes ended: (file's kind, how) -> how often; and what must not be."""

    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def add(self, change: Change, end: str, problems: Sequence[str]) -> None:
        self.ends[Path(change.file).suffix or Path(change.file).name, end] += 1
        where = f"{change.file} at {change.position} ({len(change.data)} bytes)"
        self.problems += [f"{where}: {problem}" for problem in problems]


def flips(specimen: Specimen, seed: int | None, share: float = 1.0) -> Iterator[Change]:
    """Bits of each byte: without a seed all of them, else one, and only of a `share` of bytes."""
    rng = random.Random(seed)
    for name, data in specimen.swept().items():
        for position, byte in enumerate(data):
            bits: Sequence[int] = BITS if seed is None else (rng.choice(BITS),)
            if rng.random() >= share:
                continue
            for bit in bits:
                yield Change(name, position, bytes([byte ^ 1 << bit]))


async def sweep(specimen: Specimen, directory: Path, changes: Iterable[Change]) -> Report:
    """Each of `changes` tried in `directory`."""
    specimen.put(directory)
    starts = sorted(starts_of(specimen, directory))
    truth = await look(directory, starts)
    specimen.put(directory)
    report = Report()
    for change in changes:
        report.add(change, *await try_change(specimen, change, directory, truth))
    return report


def starts_of(specimen: Specimen, directory: Path) -> set[int]:
    """Where the batches of an undamaged specimen begin."""
    return {
        header.base_offset
        for name in specimen.files
        if name.endswith(".log")
        for header, _, _ in read_batches(str(directory / name), int(Path(name).stem))
    }


async def try_change(
    specimen: Specimen, change: Change, directory: Path, truth: Seen
) -> tuple[str, list[str]]:
    """How it ended, and what is wrong with that; `truth` is what the specimen shows unchanged."""
    path = directory / change.file
    path.write_bytes(change.apply(specimen.files))
    marks = Marks(str(directory))
    try:
        mark = marks.of(TOPIC, 0).found
    finally:
        marks.close()
    partition = next(name for name in specimen.files if name.endswith(".log"))
    verified = inspect(str((directory / partition).parent), mark)
    seen = await look(directory, list(truth.batches))
    end, problems = judge(seen, truth, change.file)
    is_data = change.file.endswith(".log")
    if is_data and verified.is_sound and not verified.notes:
        problems.append(f"verify finds nothing ({end})")
    if is_data and not verified.is_sound:
        end += ", verify finds it"
    specimen.put(directory)
    return end, problems


def judge(seen: Seen, truth: Seen, file: str) -> tuple[str, list[str]]:
    """How it ended in a few words, and what must not be."""
    if seen.refused:
        named = Path(file).name in seen.refused
        return "refused at the start", [] if named else [f"the file is not named: {seen.refused}"]
    problems = []
    told = seen.faults.keys() | seen.mismatches.keys()
    for offset, batch in truth.batches.items():
        found = seen.batches.get(offset)
        if found is None and offset not in told:
            problems.append(f"nothing at {offset}, and nobody is told")
        elif found is not None and found != batch:
            problems.append(f"a changed batch is believed at {offset}")
    written = list(truth.batches.values())
    if any(batch not in written for batch in seen.stream):
        problems.append("a stream of changed batches is believed")
    missing = [peek(batch).base_offset for batch in written if batch not in seen.stream]
    if any(offset not in told for offset in missing):
        problems.append(f"a reader passes over {missing}, told of {sorted(told)}")
    if len(missing) > 1:
        problems.append(f"offsets {missing} cannot be read for one damaged byte")
    for name, value in truth.state.items():
        if seen.state[name] != value:
            problems.append(f"{name}: {seen.state[name]} instead of {value}")
    if seen.faults:
        return "refused when read", problems
    return ("seen by the client's CRC" if seen.mismatches else "no difference"), problems
