"""One group on a virtual clock and a disk that a crash may cut off at any point, for tests of the
automata in `headrace.groups`: answers leave only after the changes before them are written.

What must not enter: clients, promises.
"""

import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from headrace.groups import kinds
from headrace.groups.changes import GroupDeleted, GroupSaved, Step
from headrace.groups.embedded import TopicIndex, packed_partitions
from headrace.groups.group import Group
from headrace.groups.kinds import AnyGroup, AnyRecord
from headrace.groups.requests import Request, Token
from headrace.groups.settings import GroupSettings

__all__ = ["ScriptedCoordinator", "packed_subscription"]


class ScriptedCoordinator:
    def __init__(self, settings: GroupSettings, group: AnyGroup | None = None) -> None:
        """An empty classic group unless another one is given."""
        self.settings = settings
        self.group: AnyGroup = group if group is not None else Group("g", settings)
        self.now_ms = 0
        self.deadline_ms: int | None = None
        self.unwritten: deque[Step] = deque()
        self.saved: AnyRecord | None = None
        """What the disk has."""
        self._first = self.group
        self._tokens = 0

    def ask(self, request: Request) -> Token:
        """Take one step; what it comes to waits for the disk."""
        self._tokens += 1
        request = replace(request, token=self._tokens)
        self._take(kinds.step(self.group, request, self.now_ms))
        return self._tokens

    def wait(self, duration_ms: int) -> None:
        """Let time pass, ticking whenever the group has asked for it."""
        end_ms = self.now_ms + duration_ms
        while self.deadline_ms is not None and self.deadline_ms <= end_ms:
            self.now_ms = max(self.now_ms, self.deadline_ms)
            self._take(kinds.tick(self.group, self.now_ms))
            if self.deadline_ms is not None and self.deadline_ms <= self.now_ms:
                raise AssertionError("a tick left work")
        self.now_ms = end_ms

    def write(self) -> Step:
        """The next step reaches the disk; its answers may leave."""
        step = self.unwritten.popleft()
        for change in step.changes:
            if isinstance(change, GroupSaved):
                self.saved = change.record
            elif isinstance(change, GroupDeleted):
                self.saved = None
        return step

    def crash(self) -> None:
        """Forget all that was not written."""
        self.unwritten.clear()
        if self.saved is None:
            self.group = type(self._first)("g", self.settings)
        else:
            self.group = kinds.restore(self.saved, self.settings, self.now_ms)
        self.deadline_ms = self.group.next_deadline_ms

    def _take(self, step: Step) -> None:
        self.group = step.becomes or self.group
        self.deadline_ms = step.next_deadline_ms
        self.unwritten.append(step)


def packed_subscription(
    topics: Iterable[str],
    owned: frozenset[TopicIndex] = frozenset(),
    generation: int = -1,
    version: int = 3,
) -> bytes:
    """What a consumer says of itself in a JoinGroup (`groups.subscription`)."""
    names = [topic.encode() for topic in sorted(topics)]
    parts = [struct.pack(">hi", version, len(names))]
    parts += [struct.pack(">h", len(name)) + name for name in names]
    parts.append(struct.pack(">i", -1))
    if version >= 1:
        parts.append(packed_partitions(owned))
    if version >= 2:
        parts.append(struct.pack(">i", generation))
    if version >= 3:
        parts.append(struct.pack(">h", -1))
    return b"".join(parts)
