"""Transactions in one partition: what readers of committed data may see, also after a crash."""

import asyncio
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.log import transactions
from headrace.log.checkpoint import Checkpoint
from headrace.log.contract import Aborted, Appended
from headrace.log.producers import EXPIRY_MS
from headrace.log.transactions import Transactions
from headrace.wire.batch import peek
from headrace.wire.crc import crc32c
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.markers import Marker


def in_transaction(lab, producer_id: int, sequence: int, epoch: int = 0, count: int = 1):
    values = [b"v"] * count
    return lab.batch(*values, producer=(producer_id, epoch, sequence), transactional=True)


async def end(log, producer_id: int, *, commit: bool, epoch: int = 0) -> Appended:
    future = asyncio.get_running_loop().create_future()
    log.append_marker(Marker(producer_id, epoch, 0, commit), future.set_result)
    outcome = await future
    if isinstance(outcome, RequestError):
        raise outcome
    return outcome


async def committed_offsets(lab, log) -> list[int]:
    """What a reader of committed data is left with, as clients work it out."""
    found = []
    offset = log.offsets().start
    while True:
        piece = await log.read(offset, 200, at_least_one=True, committed=True)
        piece.release()
        if not piece.size_bytes:
            return found
        data = await lab.read_bytes(log, offset, piece.size_bytes)
        aborted = list(log.aborted_between(offset, piece.next_offset))
        gone = set()
        for batch in lab.split(data):
            header = peek(batch)
            while aborted and aborted[0].first_offset <= header.last_offset:
                gone.add(aborted.pop(0).producer_id)
            if header.attributes & 0x20:
                gone.discard(header.producer_id)
            elif not (header.attributes & 0x10 and header.producer_id in gone):
                found += range(header.base_offset, header.next_offset)
        offset = piece.next_offset


# The table


class Model:
    """The same told slowly: every transaction that ever was."""

    def __init__(self) -> None:
        self.open: dict[int, int] = {}
        self.fates: list[bool | int] = []
        """By offset: True to be handed out, False hidden, else the producer that it depends on."""
        self.ended: list[tuple[int, int, int, bool]] = []

    def unstable(self, high_watermark: int) -> int:
        ended = [first for _, first, marker, _ in self.ended if marker >= high_watermark]
        return min([*self.open.values(), *ended, 2**63 - 1])

    def settle(self, producer: int, commit: bool) -> None:
        self.fates = [
            commit if fate is not False and fate is not True and fate == producer else fate
            for fate in self.fates
        ]
        self.fates.append(False)

    def committed_end(self, last_stable: int) -> int:
        while last_stable and self.fates[last_stable - 1] is False:
            last_stable -= 1
        return last_stable

    def aborted(self, start: int, end: int) -> list[Aborted]:
        return sorted(
            (
                Aborted(producer, first)
                for producer, first, marker, commit in self.ended
                if not commit and marker >= start and first < end
            ),
            key=lambda aborted: aborted.first_offset,
        )


@given(st.data())
@settings(max_examples=80)
def test_the_table_says_what_all_transactions_together_say(data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transactions, "BLOCK", 2)
        hold_against_model(data)


def hold_against_model(data):
    table, model = Transactions(), Model()
    offset = high_watermark = 0
    for _ in range(data.draw(st.integers(1, 30))):
        producer = data.draw(st.integers(0, 3))
        match data.draw(st.sampled_from("bbdeerfs")):
            case "b":
                count = data.draw(st.integers(1, 3))
                table.write(producer, offset, offset + count)
                model.open.setdefault(producer, offset)
                model.fates += [producer + 2] * count  # 0 and 1 are False and True
                offset += count
            case "d":
                model.fates.append(True)
                offset += 1
            case "e":
                commit = data.draw(st.booleans())
                table.end(producer, offset, commit=commit)
                if producer in model.open:
                    model.ended.append((producer, model.open.pop(producer), offset, commit))
                model.settle(producer + 2, commit)
                offset += 1
            case "r":
                high_watermark = data.draw(st.integers(high_watermark, offset))
                table.readable_to(high_watermark)
            case "f":
                start = data.draw(st.integers(0, high_watermark))
                table.forget_before(start)
                model.ended = [kept for kept in model.ended if kept[2] >= start]
            case _:
                table.readable_to(offset)
                high_watermark = offset
                table, end_at = Transactions.decode(b"x" + table.encode(), 1)
                assert end_at == len(table.encode()) + 1
        if high_watermark == offset:
            table.readable_to(high_watermark)
        assert table.first_unstable == model.unstable(high_watermark)
        last_stable = min(high_watermark, table.first_unstable)
        committed_end = table.committed_end(last_stable)
        # It may not see through transactions that mix; it must never take away what is there.
        assert model.committed_end(last_stable) <= committed_end <= last_stable
    low = data.draw(st.integers(0, offset))
    high = data.draw(st.integers(low, offset))
    assert table.aborted_between(low, high) == model.aborted(low, high)


def test_a_reader_far_behind_a_long_transaction_is_answered_quickly():
    """As many were aborted meanwhile as may be: each of its fetches asks, on the event loop."""
    table, count = Transactions(), 200_000
    table.write(1, 0, 1)
    for at in range(count):
        table.write(2, 1 + 2 * at, 2 + 2 * at)
        table.end(2, 2 + 2 * at, commit=False)
    table.end(1, 1 + 2 * count, commit=True)
    began_s = time.process_time()
    assert table.aborted_between(0, 10) == [Aborted(2, first) for first in (1, 3, 5, 7, 9)]
    assert time.process_time() - began_s < 0.05


def test_a_checkpoint_of_version_1_is_read():
    head = Checkpoint(3, 9).encode()[:28]
    producer = struct.pack("<IqhBq", 1, 7, 2, 1, 99) + struct.pack("<iiqqq", 4, 5, 7, 8, -1)
    for version in (1, 3):
        body = bytearray(head + producer)
        body[4] = version
        if version == 3:
            with pytest.raises(ValueError, match="version"):
                Checkpoint.decode(bytes(body) + _crc(body))
            continue
        read = Checkpoint.decode(bytes(body) + _crc(body))
        (seen,) = read.producers.snapshots()
        assert seen == (7, 2, 5, 99, -1, -1)
        assert read.producers.transactions.open_count() == 0


def _crc(body: bytearray) -> bytes:
    return crc32c(memoryview(body)).to_bytes(4, "little")


def test_a_tail_of_markers_and_aborted_records_is_hidden():
    table = Transactions()
    table.write(1, 5, 8)
    table.end(1, 8, commit=True)
    assert table.committed_end(9) == 8
    table.write(1, 9, 10)
    table.write(1, 10, 12)
    table.end(1, 12, commit=False)
    assert table.committed_end(13) == 8
    assert table.committed_end(14) == 14


# The log


def test_committed_readers_stop_at_the_first_open_transaction(lab):
    async def scenario(log):
        await lab.put(log, lab.batch())
        await lab.put(log, in_transaction(lab, 1, 0))
        await lab.put(log, in_transaction(lab, 2, 0))
        await lab.put(log, lab.batch())
        assert log.offsets()[1:3] == (1, 4)
        assert await committed_offsets(lab, log) == [0]
        await end(log, 1, commit=True)
        assert log.offsets().last_stable == 2
        assert await committed_offsets(lab, log) == [0, 1]
        await end(log, 2, commit=False)
        assert log.offsets()[1:3] == (6, 6)
        assert await committed_offsets(lab, log) == [0, 1, 3]
        assert log.aborted_between(0, 6) == [Aborted(2, 2)]
        assert log.aborted_between(0, 2) == []
        assert log.aborted_between(5, 6) == [Aborted(2, 2)]
        assert len(await lab.batches(log)) == 6  # readers of everything

    lab.run(scenario)


def test_a_marker_that_is_not_durable_yet_does_not_count(lab, disk):
    async def scenario(log):
        await lab.put(log, in_transaction(lab, 1, 0))
        marker = asyncio.ensure_future(end(log, 1, commit=True))
        await asyncio.sleep(0)
        assert log.offsets().last_stable == 0
        await marker
        assert log.offsets().last_stable == 2

    lab.run(scenario)


def test_a_marker_that_says_nothing_new_is_not_written(lab):
    async def scenario(log):
        await lab.put(log, in_transaction(lab, 1, 0))
        assert (await end(log, 1, commit=True)).base_offset == 1
        assert (await end(log, 1, commit=True)).base_offset == -1
        assert log.offsets().end == 2

    lab.run(scenario)


def test_a_marker_of_a_newer_epoch_fences_and_one_of_an_older_is_refused(lab):
    async def scenario(log):
        await lab.put(log, in_transaction(lab, 1, 0, epoch=3))
        assert log.is_in_transaction(1, 3)
        with pytest.raises(RequestError) as old:
            await end(log, 1, commit=False, epoch=2)
        assert old.value.code is ErrorCode.INVALID_PRODUCER_EPOCH
        await end(log, 1, commit=False, epoch=4)
        assert not log.is_in_transaction(1, 4)
        with pytest.raises(RequestError) as zombie:
            await lab.put(log, in_transaction(lab, 1, 1, epoch=3))
        assert zombie.value.code is ErrorCode.INVALID_PRODUCER_EPOCH
        with pytest.raises(RequestError) as gap:
            await lab.put(log, in_transaction(lab, 1, 1, epoch=4))
        assert gap.value.code is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
        await lab.put(log, in_transaction(lab, 1, 0, epoch=4))

    lab.run(scenario)


def test_sequences_go_on_from_one_transaction_to_the_next(lab):
    async def scenario(log):
        await lab.put(log, in_transaction(lab, 1, 0, count=3))
        await end(log, 1, commit=True)
        assert (await lab.put(log, in_transaction(lab, 1, 3))).base_offset == 4
        assert (await lab.put(log, in_transaction(lab, 1, 3))).duplicate

    lab.run(scenario)


@pytest.mark.parametrize("batch", [{"epoch": 0, "transactional": False}, {"epoch": 1}])
def test_what_is_not_of_the_open_transaction_is_refused(lab, batch):
    async def scenario(log):
        await lab.put(log, in_transaction(lab, 1, 0))
        sequence = 1 - batch["epoch"]
        foreign = lab.batch(
            producer=(1, batch["epoch"], sequence), transactional=batch.get("transactional", True)
        )
        with pytest.raises(RequestError) as refusal:
            await lab.put(log, foreign)
        assert refusal.value.code is ErrorCode.INVALID_TXN_STATE

    lab.run(scenario)


def test_producers_show_their_transaction_and_are_kept_for_it(lab):
    async def scenario(log):
        await lab.put(log, lab.batch(producer=(5, 0, 0)))
        await lab.put(log, in_transaction(lab, 7, 0))
        await log.tidy(lab.clock() + EXPIRY_MS + 1)
        (seen,) = log.producers()
        assert (seen.producer_id, seen.current_txn_start_offset, seen.coordinator_epoch) == (
            7,
            1,
            -1,
        )
        await end(log, 7, commit=True)
        (seen,) = log.producers()
        assert (seen.current_txn_start_offset, seen.coordinator_epoch) == (-1, 0)

    lab.run(scenario)


def test_too_many_aborted_transactions_refuse_new_ones_only(lab, monkeypatch):
    monkeypatch.setattr(transactions, "ABORTED_MAX", 1)

    async def scenario(log):
        await lab.put(log, in_transaction(lab, 1, 0))
        await lab.put(log, in_transaction(lab, 2, 0))
        await end(log, 1, commit=False)
        with pytest.raises(RequestError) as refusal:
            await lab.put(log, in_transaction(lab, 1, 1))
        assert refusal.value.code is ErrorCode.POLICY_VIOLATION
        await lab.put(log, in_transaction(lab, 2, 1))
        await lab.put(log, lab.batch())
        await end(log, 2, commit=True)
        await log.delete_before(4)
        await lab.put(log, in_transaction(lab, 1, 1))

    lab.run(scenario)


def test_a_start_beyond_an_open_transaction_is_the_last_stable_offset(lab):
    async def scenario(log):
        await lab.put(log, in_transaction(lab, 1, 0))
        await lab.put(log, lab.batch())
        await log.delete_before(1)
        assert log.offsets()[:3] == (1, 1, 2)
        assert await committed_offsets(lab, log) == []
        with pytest.raises(RequestError) as gone:
            await log.read(0, 100, at_least_one=True, committed=True)
        assert gone.value.code is ErrorCode.OFFSET_OUT_OF_RANGE
        await end(log, 1, commit=True)
        assert await committed_offsets(lab, log) == [1]

    lab.run(scenario)


@pytest.mark.parametrize("segment_bytes", [1 << 20, 200], ids=["one segment", "many"])
@pytest.mark.parametrize("checkpoint_at", [-1, 2, 5])
def test_a_crash_at_any_step_leaves_the_transactions_as_they_were(
    lab, tmp_path, segment_bytes, checkpoint_at
):
    def state(log):
        return (
            log.offsets(),
            log.aborted_between(0, 100),
            sorted(
                (seen.producer_id, seen.producer_epoch, seen.current_txn_start_offset)
                for seen in log.producers()
            ),
        )

    async def scenario(log):
        steps = [
            lambda: lab.put(log, in_transaction(lab, 1, 0)),
            lambda: lab.put(log, in_transaction(lab, 2, 0, count=2)),
            lambda: lab.put(log, lab.batch()),
            lambda: end(log, 2, commit=False),
            lambda: lab.put(log, in_transaction(lab, 2, 2)),
            lambda: lab.put(log, in_transaction(lab, 1, 1)),
            lambda: end(log, 1, commit=True),
            lambda: end(log, 2, commit=False, epoch=1),
            lambda: lab.put(log, in_transaction(lab, 3, 0)),
            lambda: lab.put(log, lab.batch()),
        ]
        for number, step in enumerate(steps):
            await step()
            if number == checkpoint_at:
                log.checkpoint_soon()
                await log._checkpointing
            image = await lab.crash_image(log, tmp_path / f"after-{number}")
            images.append((image, state(log), await committed_offsets(lab, log)))

    images: list = []
    lab.run(scenario, segment_bytes=segment_bytes)
    for image, before, readable in images:

        async def look(log, image=image, before=before, readable=readable):
            assert state(log) == before
            assert await committed_offsets(image, log) == readable

        image.run(look)
