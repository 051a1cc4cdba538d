"""The command line as its user meets it, against a real broker."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from typer.testing import CliRunner

from headrace.testing import RunningBroker


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def objects(self) -> list[Any]:
        return [json.loads(line) for line in self.lines]

    @property
    def object(self) -> Any:
        [only] = self.objects
        return only


Cli = Callable[..., Ran]


@pytest.fixture
def cli(broker: RunningBroker) -> Cli:
    """`cli("topic", "list")` in this process; `code` is the exit code it must have."""
    from headrace.cli.app import app

    def run(*arguments: str, stdin: bytes = b"", code: int = 0) -> Ran:
        result = CliRunner().invoke(
            app, list(arguments), input=stdin, env={"HEADRACE_BOOTSTRAP": broker.bootstrap}
        )
        ran = Ran(result.exit_code, result.stdout_bytes, result.stderr)
        assert ran.code == code, f"{arguments} -> {ran}\n{result.exception!r}"
        if code in (1, 3):  # a refusal is one clear line, whatever else is told
            assert any(line.startswith("headrace: ") for line in ran.stderr.splitlines())
        return ran

    return run


@pytest.fixture
def http_door(broker: RunningBroker) -> Iterator[str]:
    """The HTTP door of `broker`, as HOST:PORT."""
    from headrace.doors.http.listener import HttpListener

    opened: list[HttpListener] = []

    async def open_door(node: Any) -> str:
        opened.append(HttpListener(node.broker))
        host, port = await opened[0].bind("127.0.0.1", 0)
        await opened[0].open()
        return f"{host}:{port}"

    async def close_door(_: Any) -> None:
        await opened[0].close()

    yield broker.call(open_door)
    broker.call(close_door)


@dataclass
class Child:
    """`headrace ...` as a process of its own."""

    process: "subprocess.Popen[bytes]"

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, timeout_s: float = 20.0) -> Ran:
        stdout, stderr = self.process.communicate(timeout=timeout_s)
        return Ran(self.process.returncode, stdout, stderr.decode())


@pytest.fixture
def spawn() -> Iterator[Callable[..., Child]]:
    """`spawn("consume", ..., bootstrap=...)`; leaves no process behind."""
    children: list[Child] = []

    def start(*arguments: str, bootstrap: str = "", stdin: bytes | None = None) -> Child:
        environment = {**os.environ, "HEADRACE_BOOTSTRAP": bootstrap or "127.0.0.1:1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "headrace", *arguments],
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        child = Child(process)
        children.append(child)
        return child

    yield start
    for child in children:
        with child.process as process:
            if process.poll() is None:
                process.kill()
