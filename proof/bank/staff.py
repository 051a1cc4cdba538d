"""The tellers' processes: started, killed, frozen and started again."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proof.journal import Event, Follower

__all__ = ["Staff"]

END_S_MAX = 30


class Desk:
    """A place for one teller at a time. Its transactional id is the desk's, so that a new teller
    ends what the one before has left."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: subprocess.Popen[bytes] | None = None
        self.frozen = False


class Staff:
    def __init__(self, desks: int, directory: Path, common: Mapping[str, Any]) -> None:
        self.desks = [Desk(number) for number in range(desks)]
        self.started = self.killed = self.gave_up = self.times_frozen = 0
        self._directory = directory
        self._common = common
        self._journals: list[Follower] = []
        for desk in self.desks:
            self._hire(desk)

    def kill(self, number: int) -> None:
        """SIGKILL, and another takes the desk."""
        desk = self.desks[number]
        self._end(desk)
        self.killed += 1
        self._hire(desk)

    def freeze(self, number: int) -> None:
        """It does nothing and does not know it; its group goes on without it. Until `thaw`."""
        desk = self.desks[number]
        if desk.process is not None and not desk.frozen:
            desk.process.send_signal(signal.SIGSTOP)
            desk.frozen = True
            self.times_frozen += 1

    def thaw(self, number: int) -> None:
        desk = self.desks[number]
        if desk.process is not None and desk.frozen:
            desk.process.send_signal(signal.SIGCONT)
        desk.frozen = False

    def replace_the_gone(self) -> None:
        """As a supervisor does: who ended with an error is started again."""
        for desk in self.desks:
            if desk.process is not None and desk.process.poll() is not None:
                self.gave_up += 1
                self._hire(desk)

    def finish(self) -> list[str]:
        """SIGTERM to all. What went wrong with that."""
        problems = []
        for desk in self.desks:
            self.thaw(desk.number)
            if desk.process is not None:
                desk.process.terminate()
        deadline = time.monotonic() + END_S_MAX
        for desk in self.desks:
            if desk.process is None:
                continue
            try:
                desk.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                problems.append(f"the teller at desk {desk.number} did not stop")
        self.dismiss()
        return problems

    def dismiss(self) -> None:
        for desk in self.desks:
            self._end(desk)

    def events(self) -> list[Event]:
        for journal in self._journals:
            journal.catch_up()
        return [event for journal in self._journals for event in journal.events]

    def _hire(self, desk: Desk) -> None:
        name = f"teller-{desk.number}.{self.started}"
        self.started += 1
        path = self._directory / f"{name}.jsonl"
        self._journals.append(Follower(path))
        options = {
            **self._common,
            "name": name,
            "journal": str(path),
            "transactional_id": f"bank-desk-{desk.number}",
        }
        with open(path.with_suffix(".log"), "ab") as log:
            desk.process = subprocess.Popen(
                [sys.executable, "-m", "proof.bank.teller", json.dumps(options)],
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the driver alone, and it ends them
            )

    def _end(self, desk: Desk) -> None:
        process, desk.process, desk.frozen = desk.process, None, False
        if process is not None:
            process.kill()
            process.wait()
