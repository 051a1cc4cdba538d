"""How a supervisor keeps its workers, told with children that are none."""

import asyncio
import gc
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from headrace.server.config import ServerConfig
from headrace.server.workers import supervisor as module
from headrace.server.workers.child import Child
from headrace.server.workers.part import WorkerPart
from headrace.server.workers.supervisor import CannotServe, Supervisor


class FakeChild:
    """Lives until it is told to end, or ends by itself as its plan says."""

    plans: list[Any]
    """What becomes of the next ones: a status to end with at once, an error that keeps one from
    starting, None for one that lives."""
    made: list["FakeChild"]

    def __init__(self, status: int | None) -> None:
        self.pid = 100 + len(self.made)
        self.made.append(self)
        self._over: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._serves = status is None
        if status is not None:
            self._over.set_result(status)

    @classmethod
    async def start(cls, _: WorkerPart) -> "FakeChild":
        plan = cls.plans.pop(0) if cls.plans else None
        if isinstance(plan, asyncio.Event):  # told to stop while it starts
            plan.set()
            await asyncio.sleep(0.01)
            plan = None
        if isinstance(plan, Exception):
            raise plan
        return cls(plan)

    async def is_ready(self) -> bool:
        await asyncio.sleep(0.001)
        return self._serves

    async def ended(self) -> int:
        return await asyncio.shield(self._over)

    def end(self, status: int) -> None:
        if not self._over.done():
            self._over.set_result(status)

    def stop(self) -> None:
        self.end(0)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`run(plans, body)`: what the supervisor of two workers came to, and the ready lines."""

    def supervise(plans: list[Any], body: Any = None) -> tuple[bool, list[str]]:
        said: list[str] = []
        FakeChild.plans, FakeChild.made = plans, []
        monkeypatch.setattr(module, "Child", FakeChild)
        monkeypatch.setattr(module, "say", said.append)
        monkeypatch.setattr(module, "PAUSE_S", 0.001)

        async def main() -> bool:
            stopping = asyncio.Event()
            parts = [
                WorkerPart(index, 2, ServerConfig(), (), "", "", 1, 2, 3, -1, -1)
                for index in range(2)
            ]
            running = asyncio.create_task(Supervisor(parts, stopping).run("ready"))
            if body is not None:
                await body(stopping)
                stopping.set()
            return await asyncio.wait_for(running, 10)

        return asyncio.run(main()), said

    return supervise


async def made(count: int) -> None:
    async with asyncio.timeout(10):
        while len(FakeChild.made) < count:
            await asyncio.sleep(0.001)


def test_who_ends_is_started_again_and_who_lives_is_left_alone(run: Any) -> None:
    async def body(_: asyncio.Event) -> None:
        await made(2)
        for count in (3, 4, 5):
            FakeChild.made[-1].end(-9)
            await made(count)

    assert run([], body) == (True, ["ready"])
    assert len(FakeChild.made) == 5


def test_a_worker_that_cannot_be_started_is_tried_again(run: Any) -> None:
    async def body(_: asyncio.Event) -> None:
        await made(2)
        FakeChild.plans += [OSError("no memory"), OSError("no memory"), None]
        FakeChild.made[0].end(1)
        await made(3)

    assert run([], body) == (True, ["ready"])


def test_nobody_is_called_ready_when_one_did_not_start(run: Any) -> None:
    with pytest.raises(CannotServe, match="worker 1 did not start"):
        run([None, 1])


def test_a_signal_before_all_are_ready_ends_it_without_a_word(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(stopping: asyncio.Event) -> None:
        stopping.set()

    assert run([], body) == (True, [])
    gc.collect()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_what_lies_in_the_working_directory_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('not the one that was meant')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])

    async def start() -> int:
        config = ServerConfig(data_dir=str(tmp_path / "json.py"))
        part = WorkerPart(0, 2, config, (), str(tmp_path), str(tmp_path), 0, 1, 2, -1, -1)
        return await (await Child.start(part)).ended()

    assert asyncio.run(start()) == 1
    assert "worker 0: the data directory" in capfd.readouterr().err


def test_the_status_of_one_that_ends_while_it_is_told_to_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = threading.Event()
    wait = os.waitpid

    def wait_late(pid: int, options: int) -> tuple[int, int]:
        if threading.current_thread() is not threading.main_thread():
            told.wait(10)
        return wait(pid, options)

    async def stop() -> int:
        monkeypatch.setattr(os, "waitpid", wait_late)
        process = await asyncio.create_subprocess_exec("true")
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        Child(process).stop()
        told.set()
        return await Child(process).ended()

    assert asyncio.run(stop()) == 0


def test_a_worker_that_starts_while_all_are_told_to_stop_is_stopped_too(run: Any) -> None:
    async def body(stopping: asyncio.Event) -> None:
        await made(2)
        FakeChild.plans.append(stopping)
        FakeChild.made[0].end(-9)
        await stopping.wait()

    assert run([], body) == (True, ["ready"])


def test_who_cannot_be_started_at_first_ends_it_and_nobody_is_left(run: Any) -> None:
    with pytest.raises(CannotServe, match="cannot go on: no memory"):
        run([None, OSError("no memory")])
    assert all(child._over.done() for child in FakeChild.made)


def test_a_worker_that_ends_badly_when_told_to_stop_is_told_of(run: Any) -> None:
    async def body(stopping: asyncio.Event) -> None:
        await made(2)
        stopping.set()
        FakeChild.made[1].end(1)

    is_well, _ = run([], body)
    assert not is_well
