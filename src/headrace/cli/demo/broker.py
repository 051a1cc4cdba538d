"""The broker of the demo: a real child process, `headrace serve`, that can be killed and restarted.

What it says on stdout is its ready line, which names the port; after a kill it gets the same one.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from headrace.cli.demo import leash
from headrace.cli.demo.children import Child, ChildFailed, Children, Message

__all__ = ["BrokerProcess", "ready_line", "serve_command"]

_READY: Final = re.compile(rb"headrace \S+ ready on kafka://(?P<host>[^ ]+):(?P<port>\d+) ")
_START_TIMEOUT_S: Final = 30.0


def ready_line(line: bytes) -> Message | None:
    """{"type": "ready", "port": ...} for the ready line, None for any other."""
    found = _READY.match(line)
    return None if found is None else {"type": "ready", "port": int(found["port"])}


def serve_command(data: Path, durability: str) -> Callable[[int], list[str]]:
    """How to start the broker on a port (0: any free one)."""

    def command(port: int) -> list[str]:
        serve = ["-m", "headrace", "serve", "--data", str(data), "--kafka", f"127.0.0.1:{port}"]
        serve += ["--http", "off", "--grpc", "off", "--durability", durability]
        return [*_on_leash(), sys.executable, *serve]

    return command


class BrokerProcess:
    """At most one broker at a time, started by `command(port)`."""

    def __init__(self, children: Children, command: Callable[[int], list[str]]) -> None:
        self._children = children
        self._command = command
        self._child: Child | None = None
        self.port = 0

    @property
    def bootstrap(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it is ready. Raises ChildFailed if it does not get there."""
        child = self.spawn()
        message = self._children.wait_for(child, "ready", _START_TIMEOUT_S)
        self.port = message["port"]

    def spawn(self) -> Child:
        """Start it, on the same port as before, without waiting; its ready line is a message."""
        self._child = self._children.start("broker", self._command(self.port), ready_line)
        return self._child

    def kill(self) -> None:
        """SIGKILL. Returns when the process is gone."""
        if self._child is None:
            raise ChildFailed("there is no broker to kill")
        self._children.forget(self._child)
        self._child = None

    def last_words(self) -> str:
        """The end of its log."""
        return "it is dead" if self._child is None else self._child.log_tail()


def _on_leash() -> list[str]:
    if not sys.platform.startswith("linux"):
        return []
    return [sys.executable, "-I", "-S", str(Path(leash.__file__))]
