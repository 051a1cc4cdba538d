"""Child processes that talk in lines: JSON from their stdout, single words to their stdin.

One thread reads all of them with a selector; a child's stderr goes to a file beside the demo's
data. Every child has a process group of its own, so that Ctrl-C reaches the demo alone, and the
demo kills what it started on the way out (`close`). Should the demo itself be killed, its workers
end when their stdin does (`worker`), and the broker hangs on a leash (`leash`).
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

__all__ = ["Child", "ChildFailed", "Children", "Message"]

Message = dict[str, Any]

_LINE_BYTES_MAX: Final = 1024 * 1024
_READ_BYTES: Final = 64 * 1024
_LOG_TAIL_BYTES: Final = 4000
_LOG_TAIL_LINES: Final = 6


class ChildFailed(RuntimeError):
    """A child process ended, or said something, that it should not have."""


class Child:
    """One process. `read_line` turns a line of its stdout into a message, or None to ignore it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log_path: Path,
        read_line: Callable[[bytes], Message | None] = json.loads,
    ) -> None:
        self.name = name
        self.log_path = log_path
        self._read_line = read_line
        self._rest = b""
        with open(log_path, "ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        os.set_blocking(self.stdout.fileno(), False)

    @property
    def stdout(self) -> IO[bytes]:
        """The pipe that the messages come from."""
        assert self.process.stdout is not None  # noqa: S101 - asked for above
        return self.process.stdout

    def say(self, word: str) -> None:
        """Send one line. Raises ChildFailed if the child is gone."""
        assert self.process.stdin is not None  # noqa: S101 - asked for above
        try:
            self.process.stdin.write(word.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise ChildFailed(f"{self.name} is gone: {self.log_tail()}") from error

    def read(self) -> tuple[list[Message], bool]:
        """What the child has said since the last time, and whether its stdout has ended."""
        ended = False
        try:
            data = os.read(self.stdout.fileno(), _READ_BYTES)
            ended = not data
        except BlockingIOError:
            return [], False
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LINE_BYTES_MAX:
            raise ChildFailed(f"{self.name} sent a line of more than {_LINE_BYTES_MAX} bytes")
        try:
            messages = [self._read_line(line) for line in lines]
        except ValueError as error:
            raise ChildFailed(f"{self.name} sent a line that is no message: {error}") from error
        return [message for message in messages if message is not None], ended

    def kill(self) -> None:
        """SIGKILL, and wait until the kernel has buried it. Harmless if it has ended already."""
        self.process.kill()
        self.process.wait()

    def dispose(self) -> None:
        """Kill it, whatever it started in its group, and close the pipes."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def log_tail(self) -> str:
        """The last lines that it wrote to stderr."""
        data = self.log_path.read_bytes()[-_LOG_TAIL_BYTES:]
        lines = data.decode(errors="replace").strip().splitlines()
        return "\n".join(lines[-_LOG_TAIL_LINES:]) or "nothing"


class Children:
    """All children of the demo. A context manager; leaving it kills whatever is left."""

    def __init__(self, log_directory: Path) -> None:
        self._log_directory = log_directory
        self._selector = selectors.DefaultSelector()
        self._living: dict[str, Child] = {}

    def __enter__(self) -> "Children":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def start(
        self,
        name: str,
        command: Sequence[str],
        read_line: Callable[[bytes], Message | None] = json.loads,
    ) -> Child:
        """Start a process; its messages appear in `messages`."""
        child = Child(name, command, self._log_directory / f"{name}.log", read_line)
        self._living[name] = child
        self._selector.register(child.stdout, selectors.EVENT_READ, child)
        return child

    def start_module(self, name: str, module: str, options: Mapping[str, object]) -> Child:
        """Start a module of this package with its options as one JSON argument."""
        command = [sys.executable, "-m", f"{__package__}.{module}", json.dumps(options)]
        return self.start(name, command)

    def messages(self, timeout_s: float) -> Iterator[tuple[Child, Message]]:
        """What the children say within `timeout_s`; returns after the first that have spoken.

        A child that has ended is announced with {"type": "ended", "status": ...} and forgotten.
        """
        for key, _ in self._selector.select(timeout_s):
            child: Child = key.data
            messages, ended = child.read()
            for message in messages:
                yield child, message
            if ended and self._living.get(child.name) is child:
                status = child.process.wait()
                self.forget(child)
                yield child, {"type": "ended", "status": status}

    def wait_for(self, child: Child, kind: str, timeout_s: float) -> Message:
        """The child's next message of that type; only for times when no other child speaks.

        Raises ChildFailed if it ends or the time passes first.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for speaker, message in self.messages(timeout_s=0.1):
                if speaker is child and message["type"] == kind:
                    return message
                if message["type"] in ("ended", "error"):
                    said = message.get("message") or speaker.log_tail()
                    raise ChildFailed(f"{speaker.name} ended: {said}")
        raise ChildFailed(f"{child.name}: no '{kind}' within {timeout_s} s: {child.log_tail()}")

    def forget(self, child: Child) -> None:
        """Kill it if it lives and expect nothing of it any more."""
        if self._living.get(child.name) is child:
            del self._living[child.name]
            self._selector.unregister(child.stdout)
        child.dispose()

    def close(self) -> None:
        """Kill all that are left."""
        for child in list(self._living.values()):
            self.forget(child)
        self._selector.close()
