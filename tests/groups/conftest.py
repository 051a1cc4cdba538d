"""A group on a virtual clock, and what its clients would see."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from headrace.groups import classic
from headrace.groups.changes import Change, GroupRecord, GroupSaved, Step
from headrace.groups.group import Group
from headrace.groups.requests import (
    Commit,
    Delete,
    Heartbeat,
    Join,
    JoinAnswer,
    Leave,
    Leaving,
    OffsetToCommit,
    Request,
    Sync,
    SyncAnswer,
)
from headrace.groups.settings import GroupSettings
from headrace.groups.states import State
from headrace.wire.errors import ErrorCode

SESSION_MS = 10_000
REBALANCE_MS = 60_000


class Scene:
    """Sends requests to one group and keeps every answer by its token."""

    def __init__(self, settings: GroupSettings) -> None:
        self.settings = settings
        self.group = Group("g", settings)
        self.now_ms = 1_000_000
        self.changes: list[Change] = []
        self.answers: dict[int, Any] = {}
        self.next_deadline_ms: int | None = None
        self._tokens = 0

    def ask(self, request: Request) -> int:
        """The token; the answer is in `answers` when there is one."""
        self._tokens += 1
        self._take(classic.step(self.group, replace(request, token=self._tokens), self.now_ms))
        return self._tokens

    def wait(self, duration_ms: int) -> None:
        """Let time pass, ticking whenever the group has asked for it."""
        end_ms = self.now_ms + duration_ms
        while self.next_deadline_ms is not None and self.next_deadline_ms <= end_ms:
            self.now_ms = max(self.now_ms, self.next_deadline_ms)
            self._take(classic.tick(self.group, self.now_ms))
        self.now_ms = end_ms

    def _take(self, step: Step) -> None:
        self.changes += step.changes
        for token, answer in step.replies:
            assert token not in self.answers, "a request was answered twice"
            self.answers[token] = answer
        self.next_deadline_ms = step.next_deadline_ms

    def restart(self) -> None:
        """Forget all but what was saved last."""
        self.group = Group.restore(self.saved(), self.settings, self.now_ms)
        self.next_deadline_ms = self.group.next_deadline_ms

    def saved(self) -> GroupRecord:
        return [change for change in self.changes if isinstance(change, GroupSaved)][-1].record

    # Requests as a client makes them

    def join(
        self,
        member_id: str = "",
        *,
        fresh: str = "",
        instance: str | None = None,
        protocols: Iterable[tuple[str, bytes]] = (("range", b"m"),),
        **rest: Any,
    ) -> int:
        rest.setdefault("protocol_type", "consumer")
        rest.setdefault("session_timeout_ms", SESSION_MS)
        rest.setdefault("rebalance_timeout_ms", REBALANCE_MS)
        return self.ask(
            Join(
                member_id=member_id,
                protocols=tuple(protocols),
                instance_id=instance,
                fresh_member_id=fresh or f"fresh-{self._tokens}",
                **rest,
            )
        )

    def enter(self, name: str, **rest: Any) -> int:
        """Join as a new dynamic member does: once for an id, once with it."""
        given = self.answers[self.join(fresh=name, **rest)]
        assert given == JoinAnswer(ErrorCode.MEMBER_ID_REQUIRED, name)
        return self.join(name, **rest)

    def sync(self, member_id: str, assignments: dict[str, bytes] | None = None, **rest: Any) -> int:
        rest.setdefault("generation", self.group.generation)
        return self.ask(
            Sync(member_id=member_id, assignments=tuple((assignments or {}).items()), **rest)
        )

    def heartbeat(self, member_id: str, **rest: Any) -> ErrorCode:
        rest.setdefault("generation", self.group.generation)
        return self.answers[self.ask(Heartbeat(member_id, **rest))].error

    def leave(self, *leaving: str | Leaving) -> tuple[ErrorCode, ...]:
        members = tuple(Leaving(who, None) if isinstance(who, str) else who for who in leaving)
        return self.answers[self.ask(Leave(members))].errors

    def commit(self, member_id: str = "", generation: int = -1, offset: int = 7) -> ErrorCode:
        offsets = (OffsetToCommit("t", 0, offset, -1, ""),)
        return self.answers[self.ask(Commit(offsets, member_id, generation))].error

    def delete(self) -> ErrorCode:
        return self.answers[self.ask(Delete())].error

    def joined(self, token: int) -> JoinAnswer:
        answer = self.answers[token]
        assert isinstance(answer, JoinAnswer)
        assert answer.error is ErrorCode.NONE, answer
        return answer

    def assignment(self, token: int) -> bytes:
        answer = self.answers[token]
        assert isinstance(answer, SyncAnswer)
        assert answer.error is ErrorCode.NONE, answer
        return answer.assignment

    def stable(self, *names: str, **rest: Any) -> None:
        """A stable group of these members, the first of which leads; each is assigned its name."""
        tokens = [self.enter(name, **rest) for name in names]
        self.wait(self.settings.initial_rebalance_delay_ms * 2)
        assert self.joined(tokens[0]).leader == names[0]
        self.sync(names[0], {name: name.encode() for name in names})
        for name in names[1:]:
            assert self.assignment(self.sync(name)) == name.encode()
        assert self.group.state is State.STABLE


@pytest.fixture
def scene() -> Scene:
    return Scene(GroupSettings())


@pytest.fixture
def stable_pair(scene: Scene) -> Scene:
    """Two members, a and b; a leads."""
    scene.stable("a", "b")
    return scene
