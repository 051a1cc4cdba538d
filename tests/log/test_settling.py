import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest

from headrace.log import settling
from headrace.log.marks import Mark, encode_marks, read_marks
from headrace.log.settling import divide, settle
from headrace.log.store import LogStore, Share, lock_directory

A, B = UUID(int=1), UUID(int=2)


def workers(
    lab, count: int, scenario: Callable[[list[LogStore]], Awaitable[object]], close=True
) -> list[bool]:
    """Settle and divide, open a store for each worker, run the scenario, close unless told not to;
    which stores found that theirs was closed cleanly."""
    lab.path.mkdir(exist_ok=True)
    (lab.path / "topics").mkdir(exist_ok=True)
    lock = lock_directory(str(lab.path))
    settle(str(lab.path))
    own = divide(str(lab.path), count)

    async def main() -> list[bool]:
        stores = [
            LogStore.open(
                *(str(lab.path),),
                durability=lab.durability,
                loop=asyncio.get_running_loop(),
                now_ms=lab.clock,
                share=Share(place, os.dup(lock)),
            )
            for place in own
        ]
        await scenario(stores)
        if close:
            for store in stores:
                await store.close()
        return [store.was_clean for store in stores]

    try:
        return asyncio.run(main())
    finally:
        os.close(lock)


async def nothing(_: object) -> None:
    """Open and close."""


def count_of(lab, index: int) -> Callable[[LogStore], Awaitable[int]]:
    async def count(store: LogStore) -> int:
        return (await store.open_log(A, index, lab.config, must_exist=True)).offsets().end

    return count


def test_any_number_of_workers_can_follow_any_other(lab):
    async def fill(stores):
        for index in range(6):
            store = stores[index % len(stores)]
            log = await store.open_log(A, index, lab.config)
            await lab.put(log, lab.batch())

    was_clean = [workers(lab, count, fill) for count in (1, 3, 2)]
    assert was_clean == [[False], [True] * 3, [True] * 2]

    async def alone():
        store = lab.store()
        try:
            assert store.was_clean
            return [await count_of(lab, index)(store) for index in range(6)]
        finally:
            await store.close()

    assert asyncio.run(alone()) == [3] * 6
    assert not (lab.path / "workers").exists()
    assert workers(lab, 2, nothing) == [True, True]


def test_one_worker_that_was_killed_makes_the_next_start_look(lab):
    workers(lab, 2, nothing)
    (lab.path / "workers" / "1" / "headrace.clean").unlink()
    assert workers(lab, 3, nothing) == [False] * 3
    assert workers(lab, 1, nothing) == [True]


def test_a_worker_that_comes_back_looks_at_its_own_only(lab):
    """The supervisor divides once; whoever is restarted finds its own place as it left it."""

    async def again(stores):
        for worker, was_clean in ((0, True), (1, False)):
            if was_clean:
                await stores[worker].close()
            share = Share(stores[worker]._own, os.open(lab.path, os.O_RDONLY))
            store = LogStore.open(
                *(str(lab.path),),
                durability=lab.durability,
                loop=asyncio.get_running_loop(),
                now_ms=lab.clock,
                share=share,
            )
            assert store.was_clean is was_clean
            await store.close()

    workers(lab, 2, nothing)
    workers(lab, 2, again)


def test_of_several_marks_the_greatest_is_true(lab):
    lab.path.mkdir()
    found = {
        "": {(A.bytes, 0): Mark(5, 10), (B.bytes, 7): Mark(1, 1)},
        "workers/0": {(A.bytes, 0): Mark(5, 900), (A.bytes, 1): Mark(0, 64)},
        "workers/1": {(A.bytes, 0): Mark(6, 3), (A.bytes, 1): Mark(0, 0)},
    }
    for place, marks in found.items():
        (lab.path / place).mkdir(parents=True, exist_ok=True)
        (lab.path / place / "headrace.marks").write_bytes(encode_marks(marks))
    settle(str(lab.path))
    merged = {
        (A.bytes, 0): Mark(6, 3),
        (A.bytes, 1): Mark(0, 64),
        (B.bytes, 7): Mark(1, 1),
    }
    assert read_marks(str(lab.path)) == merged
    for own in divide(str(lab.path), 2):
        assert read_marks(own) == merged


def test_a_crash_between_any_two_steps_neither_loses_marks_nor_claims_to_be_clean(
    lab, tmp_path: Path, monkeypatch
):
    """Every call of the disk that changes something fails in its turn, as if the power went."""
    names = ("make_directories", "write", "rename", "unlink", "remove_tree", "fsync")
    steps = 0
    dies_at = -1

    class PowerCutError(BaseException):
        """Not an OSError: nobody tidies up after it."""

    def counted(call):
        def step(*args, **kwargs):
            nonlocal steps
            steps += 1
            if steps == dies_at:
                raise PowerCutError
            return call(*args, **kwargs)

        return step

    mark = {(A.bytes, 0): Mark(1, 1)}
    for is_clean in (True, False):
        began = tmp_path / f"began-{is_clean}"
        for index in range(2):
            own = began / "workers" / str(index)
            own.mkdir(parents=True)
            (own / "headrace.marks").write_bytes(encode_marks(mark))
            if is_clean or index:
                (own / "headrace.clean").touch()
        for dies_at in range(1, 60):
            place = tmp_path / f"{is_clean}-{dies_at}"
            shutil.copytree(began, place)
            with monkeypatch.context() as patch:
                for name in names:
                    patch.setattr(settling.disk, name, counted(getattr(settling.disk, name)))
                steps = 0
                try:
                    settle(str(place))
                    divide(str(place), 3)
                    break
                except PowerCutError:
                    pass
            settle(str(place))
            assert read_marks(str(place)) == mark
            if not is_clean:
                assert not (place / "headrace.clean").exists()
        else:
            pytest.fail("it takes more steps than were tried")
        assert dies_at > 10
