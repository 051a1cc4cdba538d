"""What a consumer writes down: a JSON object a line, flushed before anything follows from it.

Every line has `t`, seconds of the system's monotonic clock (one clock for all processes of a
machine), `member` and `event`:

    started
    assigned   partitions  the member begins to read them from where the group stands; `t` is not
                           later than the moment at which it asks for the committed offsets
    revoked    partitions  it reads them no longer
    read       partition, offset, values       of consecutive offsets, the first of which is named
    accepted   partition, offsets              of a share group, the broker has confirmed it
    unconfirmed  partition, offsets            the same, but no answer says whether it was done
    committed  sent, offsets {partition: n}    answered without error at `t`, asked at `sent`
    failed     where, error, text              an error that the client showed to the program
    stopped                                    closed, after it was told to

A process that is killed may leave half a line; it is no line.
"""

import json
import os
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Event", "Follower", "Journal"]

Event = dict[str, Any]

TEXT_MAX = 300
"""Characters of an error's text that are kept."""


class Journal:
    """Writes lines for the members of one process, from any of its threads."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._lock = threading.Lock()

    def write(self, member: str, event: str, t: float | None = None, **facts: Any) -> None:
        t = time.monotonic() if t is None else t
        line = json.dumps({"t": round(t, 6), "member": member, "event": event, **facts})
        with self._lock:
            os.write(self._file, line.encode() + b"\n")

    def read(self, member: str, records: Iterable[tuple[int, int, bytes]]) -> None:
        """Records as (partition, offset, value) in the order in which the client gave them."""
        partition = first = -1
        values: list[int] = []
        for at, offset, value in records:
            if at != partition or offset != first + len(values):
                if values:
                    self.write(member, "read", partition=partition, offset=first, values=values)
                partition, first, values = at, offset, []
            values.append(int(value))
        if values:
            self.write(member, "read", partition=partition, offset=first, values=values)

    def committed(self, member: str, sent: float, offsets: Mapping[int, int]) -> None:
        self.write(member, "committed", sent=round(sent, 6), offsets=dict(offsets))

    def failed(self, member: str, where: str, error: str, text: object = "") -> None:
        self.write(member, "failed", where=where, error=error, text=str(text)[:TEXT_MAX])


class Follower:
    """Reads a journal that is still being written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[Event] = []
        self._position = 0

    def catch_up(self) -> list[Event]:
        """The events that are new since the last time."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self._position)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._position += len(whole)
        new = [json.loads(line) for line in whole.splitlines()]
        self.events += new
        return new
