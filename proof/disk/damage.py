"""What a log does on a disk that lies, and with bits that have changed.

Neither can always be seen. A disk that answers a sync and keeps nothing is no different from a
good one until the power goes; then a log whose last records are missing looks as one that never
had them, unless something beside them (a later segment, a checkpoint, the durable mark) survived
and tells. A changed bit is seen where a checksum covers it and somebody looks: at a start behind
the last checkpoint, in what is read, by `headrace log verify` everywhere; the leader epoch of a
batch is in no checksum, and means nothing on one machine. So less is demanded than elsewhere: what
is read is what was written or does not match its CRC, a flipped bit costs nothing that it is not
in, and the verifier finds it.
"""

from collections import Counter
from collections.abc import Iterable
from random import Random
from typing import Any, Final

from headrace.log.contract import CorruptLogError
from headrace.log.inspecting import inspect
from headrace.log.local import LocalLog
from headrace.log.reading import read_slice
from headrace.log.recovery import NO_MARK
from headrace.log.segment import LOG_SUFFIX
from headrace.testing.disk import CHANGES, FaultDisk, Loss, MemoryDisk
from headrace.wire.batch import crc_matches, peek
from headrace.wire.errors import ErrorCode, RequestError
from proof.disk import steps
from proof.disk.hosting import Host, Hosted
from proof.disk.judge import Broken
from proof.disk.life import Life
from proof.disk.model import Entry
from proof.disk.sweeps import Outcome, copy_of, mounted_small, new_disk

__all__ = ["flip_bits", "lie"]

STATES: Final = 12
"""Power cuts, or flipped bits, in one run."""
CHANGES_ABOUT: Final = 500
"""Calls of a life that change the disk."""
EPOCH: Final = range(12, 16)
"""Of a batch: the leader epoch, which means nothing on one machine."""
OFFSET: Final = range(8)

Kept = tuple[MemoryDisk, list[Hosted]]


def lie(seed: int) -> Outcome:
    """From some sync on nothing is kept, and power cuts show it. Raises Broken for a record that
    was never there and matches its CRC."""
    random = Random(f"lie {seed}")
    disk = new_disk(seed)
    disk.lie(random.randrange(1, 60))
    life = Life(disk, seed)
    life.host.trusts_syncs = False
    states = _live(life, disk, seed, Loss(random))
    kinds = Counter[str]()
    for state, partitions in states:
        kinds.update(f"lie: {kind}" for kind in _open(FaultDisk(seed, state), seed, partitions))
    return Outcome(disk.calls, True, images=len(states), kinds=dict(kinds))


def flip_bits(seed: int) -> Outcome:
    """A bit of some file flips after a kill, or after a clean end. Raises Broken when that costs
    what it is not in, or when the verifier does not see it in a segment."""
    random = Random(f"flip {seed}")
    disk = new_disk(seed)
    life = Life(disk, seed)
    states = _live(life, disk, seed, _all_kept(random))
    for _ in range(STATES // 2):
        states.append((disk.after_power_cut(_all_kept(random)), life.partitions))
    kinds = Counter[str]()
    for state, partitions in states:
        found = FaultDisk(seed, state)
        files = {path: file.data for path, file in found.files().items() if file.data}
        if not files:
            continue
        path = random.choice(sorted(files))
        position = random.randrange(len(files[path]))
        place = _place_in_batch(files[path], position) if path.endswith(LOG_SUFFIX) else None
        found.flip(path, position, random.randrange(8))
        with mounted_small(found):
            if place is not None and place not in EPOCH:
                _demand_seen(path, position)
        seen = _open(found, seed, [copy_of(hosted) for hosted in partitions])
        if "lost" in seen or ("changed" in seen and place not in (*OFFSET, *EPOCH)):
            raise Broken(f"seed {seed}: a bit of {path} at {position}: {dict(seen)}")
        kinds.update(f"flip: {kind}" for kind in seen)
    return Outcome(disk.calls, True, images=len(states), kinds=dict(kinds))


def _all_kept(random: Random) -> Loss:
    loss = Loss(random, garbles=False)
    loss.kept = 1.0
    return loss


def _live(life: Life, disk: FaultDisk, seed: int, loss: Loss) -> list[Kept]:
    """Live; what the disk was at some moments, after `loss`."""
    random = Random(f"states {seed}")
    states: list[Kept] = []

    def take(call: str, arguments: tuple[Any, ...]) -> None:
        if call in CHANGES and random.random() < STATES / CHANGES_ABOUT:
            there = [copy_of(hosted) for hosted in life.partitions]
            states.append((disk.after_power_cut(loss), there))

    disk.watchers.append(take)
    with mounted_small(disk):
        steps.run(seed, life.run)
    disk.watchers.clear()
    return states


def _open(disk: FaultDisk, seed: int, partitions: list[Hosted]) -> Counter[str]:
    """What becomes of each partition: how often which kind."""
    kinds = Counter[str]()

    async def main() -> None:
        host = Host(disk, "fsync", [], bool)
        await host.open()
        assert host.store is not None
        for hosted in partitions:
            try:
                log = await host.store.open_log(hosted.topic, hosted.model.number, hosted.config)
            except CorruptLogError as error:
                if hosted.directory not in str(error) and "offset" not in str(error):
                    raise Broken(f"refused without a name: {error}") from error
                kinds["refused at the start"] += 1
            else:
                assert isinstance(log, LocalLog)
                kinds.update(await _read(log, hosted))
        await host.close()

    with mounted_small(disk):
        steps.run(seed, main)
    return kinds


async def _read(log: LocalLog, hosted: Hosted) -> Iterable[str]:
    """What a reader of everything meets."""
    model, kinds = hosted.model, set[str]()
    by_base = {entry.base: entry for entry in [*model.ghosts, *model.entries]}
    offset, _, end, _ = log.offsets()
    while offset < end:
        try:
            piece = await log.read(offset, 1, at_least_one=True)
        except RequestError as error:
            if error.code is not ErrorCode.CORRUPT_MESSAGE:
                raise
            kinds.add("refused at a read")
            break
        data = read_slice(piece)
        piece.release()
        header = peek(data)
        if len(data) < header.size_bytes or not crc_matches(data[: header.size_bytes], header):
            kinds.add("seen by the CRC")
        elif not model.is_compacted and not _is_written(by_base, data):
            kinds.add("changed")
        if header.next_offset <= offset:
            break
        offset = header.next_offset
    if end < model.kept_to:
        kinds.add("lost")
    return kinds or {"whole"}


def _is_written(by_base: dict[int, Entry], data: bytes) -> bool:
    entry = by_base.get(peek(data).base_offset)
    return entry is not None and entry.data == data[: len(entry.data)]


def _place_in_batch(data: bytearray, position: int) -> int | None:
    """Which byte of its batch it is; None behind the last whole one."""
    at = 0
    while at + 61 <= len(data):
        size_bytes = peek(data, at).size_bytes
        if at + size_bytes > len(data) or peek(data, at).magic != 2:
            return None
        if position < at + size_bytes:
            return position - at
        at += size_bytes
    return None


def _demand_seen(path: str, position: int) -> None:
    directory, _, name = path.rpartition("/")
    report = inspect(directory, NO_MARK)
    if not any(name in note for note in report.notes) and not report.damages:
        raise Broken(f"the verifier does not see a bit of {path} at {position}")
