"""What a crash leaves behind is worse than it was: torn tails, and files that help a start."""

import random
from pathlib import Path
from uuid import UUID

from headrace.log.marks import Mark, Marks
from headrace.testing.raw_client import batch
from proof.chaos.faults.fault import Fault
from proof.chaos.site import Site

__all__ = ["LostFiles", "TornTail"]

HELPFUL = {
    "index": "topics/*/*/*.index",
    "checkpoint": "topics/*/*/checkpoint",
    "marks": "headrace.marks",
}
"""The catalog's write-ahead log is not among them: it is data."""


class TornTail(Fault):
    """Between a kill and the next start the ends of logs are cut or spoilt; only what no sync has
    reached, which the durable marks tell exactly."""

    name = "torn-tail"
    hold_s = (0.0, 0.3)

    def start(self, site: Site, chance: random.Random) -> str:
        site.kill()
        marks = Marks(str(site.data))
        done = []
        for directory in sorted(site.data.glob("topics/*/*")):
            segments = sorted(directory.glob("*.log"))
            if segments and chance.random() < 0.5:
                mark = marks.of(UUID(hex=directory.parent.name), int(directory.name)).found
                done.append(_tear(segments[-1], mark, chance))
        marks.close()
        return ", ".join(f"{done.count(how)} {how}" for how in sorted(set(done))) or "none"

    def heal(self, site: Site) -> None:
        site.start()


def _tear(segment: Path, mark: Mark, chance: random.Random) -> str:
    size = segment.stat().st_size
    synced = mark.position if mark.base_offset == int(segment.stem) else size
    how = chance.choice(["cut", "zeros", "garbage", "half a batch"])
    if how == "cut":
        with open(segment, "r+b") as file:
            file.truncate(chance.randint(min(synced, size), size))
    else:
        tail = {
            "zeros": bytes(chance.randint(1, 9000)),
            "garbage": chance.randbytes(chance.randint(1, 9000)),
            "half a batch": batch([chance.randbytes(900)])[: chance.randint(1, 900)],
        }[how]
        with open(segment, "ab") as file:
            file.write(tail)
    return how


class LostFiles(Fault):
    """Indexes, checkpoints and marks only make a start quicker."""

    name = "lost-files"
    hold_s = (0.0, 0.3)

    def start(self, site: Site, chance: random.Random) -> str:
        is_killed = chance.random() < 0.7
        if is_killed:
            site.kill()
        else:
            site.stop()
        what = chance.choice(list(HELPFUL))
        how = chance.choice(["removed", "flipped", "emptied"])
        paths = [p for p in sorted(site.data.glob(HELPFUL[what])) if chance.random() < 0.7]
        for path in paths:
            _harm(path, how, chance)
        return f"{len(paths)} {what} {how} after {'SIGKILL' if is_killed else 'SIGTERM'}"

    def heal(self, site: Site) -> None:
        site.start()


def _harm(path: Path, how: str, chance: random.Random) -> None:
    if how == "removed":
        path.unlink()
        return
    data = bytearray(path.read_bytes())
    if how == "emptied" or not data:
        path.write_bytes(b"")
        return
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
