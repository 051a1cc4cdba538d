"""What the demo's worker processes share: how they hear and speak, and how they meet Kafka.

A worker gets its options as one JSON argument (all of them: `bootstrap`, `client_id` and
`deadline_s`, the seconds it has left), says JSON lines on stdout and hears single words on
stdin. When its stdin ends, the demo is gone, and the worker ends at once.
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import libversion

__all__ = ["GROUP", "PARTITIONS", "PROBE_TOPIC", "TOPIC", "Line", "client_settings", "main"]

TOPIC: Final = "flights"
PROBE_TOPIC: Final = "flights-probe"
GROUP: Final = "delay-board"
PARTITIONS: Final = 12

_EXIT_ORPHANED: Final = 3
_FORGETS_BROKERS: Final = 0x020A0000  # librdkafka 2.10 (KIP-899)


class Line:
    """The worker's line to the demo."""

    def __init__(self) -> None:
        self._go = threading.Event()
        self._stop = threading.Event()
        threading.Thread(target=self._listen, name="line", daemon=True).start()

    @property
    def stopped(self) -> bool:
        """The demo has said stop."""
        return self._stop.is_set()

    def wait_for_go(self) -> None:
        """Return when the demo says go; if it ends instead, so does this process."""
        self._go.wait()

    def say(self, kind: str, **fields: object) -> None:
        """Send one message; short enough for the pipe, it arrives whole even if we are killed."""
        line = json.dumps({"type": kind, **fields}, separators=(",", ":"))
        os.write(sys.stdout.fileno(), line.encode() + b"\n")

    def _listen(self) -> None:
        for word in sys.stdin:
            if word.strip() == "go":
                self._go.set()
            elif word.strip() == "stop":
                self._stop.set()
        os._exit(_EXIT_ORPHANED)


def client_settings(bootstrap: str, client_id: str) -> dict[str, str | int | float | bool]:
    """Settings of all clients here: connect again fast, for the broker comes back soon."""
    settings: dict[str, str | int | float | bool] = {
        "bootstrap.servers": bootstrap,
        "client.id": client_id,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 200,
    }
    if libversion()[1] >= _FORGETS_BROKERS:
        # It would forget the only broker it knows as soon as that is gone, look for it at the
        # bootstrap address, and learn only a second later that it is the same one.
        settings["metadata.recovery.strategy"] = "none"
    return settings


def main(work: Callable[[Line, Mapping[str, Any]], None]) -> int:
    """Run a worker; whatever goes wrong is its last message."""
    line = Line()
    try:
        work(line, json.loads(sys.argv[1]))
    except Exception as error:  # noqa: BLE001 - the demo shows it and fails
        line.say("error", message=f"{type(error).__name__}: {error}")
        return 1
    return 0
