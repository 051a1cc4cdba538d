"""What is appended to another worker's partition is there once and in order, whatever breaks."""

import asyncio
import contextlib
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from headrace.broker.cluster import answering as answering_module
from headrace.broker.cluster import links as links_module
from headrace.broker.cluster.answering import Answering
from headrace.broker.cluster.links import Links
from headrace.broker.cluster.ownership import Ownership
from headrace.broker.cluster.peers import Change
from headrace.broker.cluster.remote_appends import APPENDS_MAX, RemoteAppends, Room
from headrace.links.link import REQUESTS_MAX
from headrace.links.listener import Answer
from headrace.log.contract import ACKS_ALL, ACKS_LEADER, ACKS_NONE, Appended, LogConfig
from headrace.log.store import LogStore
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.markers import Marker
from headrace.wire.packing import pack_values
from headrace.wire.records import read_records
from headrace.wire.workers import Ask

TOPIC_ID = UUID(int=7)
ME, OWNER = 0, 1


class Flaky(Answering):
    """The owner's end: answers can be swallowed, and it can die and come back."""

    def __init__(self, broker: Any, directory: str) -> None:
        super().__init__(broker, directory)
        self.is_mute = False
        self.taken = 0

    def _serve(self, peer: int, kind: int, body: memoryview, answer: Answer) -> None:
        self.taken += kind != Ask.TELL
        super()._serve(peer, kind, body, (lambda _: None) if self.is_mute else answer)


class Owner:
    """A worker with one partition, on a real log."""

    def __init__(self, log: Any, directory: str) -> None:
        self.log = log
        topic = SimpleNamespace(name="t", traffic=SimpleNamespace(produced_batches=0))
        part = SimpleNamespace(log=log, is_mine=True, topic=topic, produced_bytes=0, index=0)
        topic.partitions = [part]
        self.partition = part
        self._broker = SimpleNamespace(
            ownership=Ownership(OWNER, 2, 1),
            topics=SimpleNamespace(by_id={TOPIC_ID: topic}),
            transactional_appends=SimpleNamespace(ended=lambda *_: None),
            take_up=self._take_up,
            share_elsewhere=None,
        )
        self._directory = directory
        self.answering: Flaky
        self.taken_up: list[Change] = []

    async def _take_up(self, change: Change) -> None:
        self.taken_up.append(change)

    async def start(self) -> None:
        self.answering = Flaky(self._broker, self._directory)
        await self.answering.open()

    async def die(self) -> None:
        await self.answering.close()

    async def values(self) -> list[bytes]:
        found = await self.log.read(0, 1 << 30, at_least_one=True)
        data = Path(f"/proc/self/fd/{found.file}").read_bytes()
        found.release()
        batches, position = [], 0
        view = memoryview(data)[found.position : found.position + found.size_bytes]
        while position < len(view):
            size = 12 + int.from_bytes(view[position + 8 : position + 12], "big")
            batches += [
                bytes(r.value or b"") for r in read_records(view[position : position + size])
            ]
            position += size
        return batches


def batch(values: list[bytes], producer_id: int = -1, sequence: int = -1) -> memoryview:
    now_ms = time.time_ns() // 1_000_000
    producer = (producer_id, 0, sequence) if producer_id >= 0 else (-1, -1, -1)
    return memoryview(pack_values(values, [*map(len, values)], now_ms, producer))


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
def directory() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as made:
        yield made


@pytest.fixture
def with_owner(tmp_path: Path, directory: str) -> Callable[..., None]:
    def run(body: Callable[[Owner, Links], Awaitable[None]], durability: Any = "fsync") -> None:
        async def opened() -> None:
            loop = asyncio.get_running_loop()
            store = LogStore.open(
                str(tmp_path),
                durability=durability,
                loop=loop,
                now_ms=lambda: time.time_ns() // 1_000_000,
            )
            owner = Owner(await store.open_log(TOPIC_ID, 0, LogConfig()), directory)
            await owner.start()
            links = Links(directory, Ownership(ME, 2, 1))
            links.start()
            await until(lambda: links.is_linked(OWNER))
            try:
                await asyncio.wait_for(body(owner, links), 30)
            finally:
                await links.close()
                await owner.die()
                await store.close()

        asyncio.run(opened())

    return run


def test_an_append_is_answered_as_the_owner_did(with_owner: Callable[..., None]) -> None:
    async def body(owner: Owner, links: Links) -> None:
        heard: list[Any] = []
        for acks in (ACKS_ALL, ACKS_LEADER, ACKS_NONE):
            links.append(OWNER, TOPIC_ID, 0, batch([b"a", b"b"]), acks, heard.append)
        links.append(OWNER, TOPIC_ID, 0, batch([b"c"]), ACKS_LEADER, None)
        await until(lambda: len(heard) == 3)
        assert sorted(heard) == [Appended(n, n + 1, -1, 0, False) for n in (0, 2, 4)]
        await until(lambda: owner.log.offsets().high_watermark == 7)
        assert await owner.values() == [b"a", b"b"] * 3 + [b"c"]
        assert owner.partition.produced_bytes > 0

    with_owner(body)


def test_what_the_owner_refuses_is_refused_and_what_followed_it_too(
    with_owner: Callable[..., None],
) -> None:
    async def body(owner: Owner, links: Links) -> None:
        heard: list[Any] = []
        broken = batch([b"first"], 5, 0)
        broken[-1] ^= 1
        links.append(OWNER, TOPIC_ID, 0, broken, ACKS_ALL, heard.append)
        links.append(OWNER, TOPIC_ID, 0, batch([b"second"], 5, 1), ACKS_ALL, heard.append)
        links.append(OWNER, TOPIC_ID, 1, batch([b"nowhere"]), ACKS_ALL, heard.append)
        await until(lambda: len(heard) == 3)
        assert [error.code for error in heard] == [
            ErrorCode.CORRUPT_MESSAGE,
            ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
            ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ]
        await until(lambda: owner.taken_up.count(Change.TOPICS) == 2)  # once when it was linked
        assert owner.log.offsets().end == 0
        owner.partition.is_mine = False
        links.append(OWNER, TOPIC_ID, 0, batch([b"x"]), ACKS_ALL, heard.append)
        await until(lambda: len(heard) == 4)
        assert heard[3].code is ErrorCode.NOT_LEADER_OR_FOLLOWER

    with_owner(body)


def test_many_batches_whose_answers_were_lost_are_not_written_again(
    with_owner: Callable[..., None],
) -> None:
    """More than a log remembers of a producer."""

    async def body(owner: Owner, links: Links) -> None:
        heard: list[Any] = []
        owner.answering.is_mute = True
        for number in range(40):
            value = str(number).encode()
            links.append(OWNER, TOPIC_ID, 0, batch([value], 5, number), ACKS_ALL, heard.append)
        await until(lambda: owner.answering.taken == 40)
        await owner.die()
        for number in range(40, 50):
            value = str(number).encode()
            links.append(OWNER, TOPIC_ID, 0, batch([value], 5, number), ACKS_ALL, heard.append)
        await owner.start()
        await until(lambda: len(heard) == 50)
        assert all(isinstance(outcome, Appended) for outcome in heard)
        assert await owner.values() == [str(number).encode() for number in range(50)]
        assert heard[39] == Appended(39, 39, -1, 0, True)
        assert heard[-1] == Appended(49, 49, -1, 0, False)

    with_owner(body)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_lost_or_doubled_while_the_owner_dies_again_and_again(
    with_owner: Callable[..., None], seed: int
) -> None:
    chaos = random.Random(seed)

    async def body(owner: Owner, links: Links) -> None:
        heard: list[Any] = []
        sent: dict[int, list[bytes]] = {5: [], 6: [], 7: []}

        def append() -> None:
            producer = chaos.choice([*sent])
            values = [
                f"{producer}:{len(sent[producer]) + n}".encode() for n in range(chaos.randint(1, 3))
            ]
            made = batch(values, producer, len(sent[producer]))
            sent[producer] += values
            links.append(OWNER, TOPIC_ID, 0, made, ACKS_ALL, heard.append)

        count = 0
        for _ in range(12):
            owner.answering.is_mute = chaos.random() < 0.5
            for _ in range(chaos.randint(0, 30)):
                append()
                count += 1
                if chaos.random() < 0.2:
                    await asyncio.sleep(0)
            if chaos.random() < 0.7:
                await asyncio.sleep(chaos.random() / 100)
            await owner.die()
            append()
            count += 1
            await owner.start()
        owner.answering.is_mute = False
        await until(lambda: len(heard) == count)
        assert all(isinstance(outcome, Appended) for outcome in heard)
        values = await owner.values()
        for producer, expected in sent.items():
            assert [v for v in values if v.startswith(b"%d:" % producer)] == expected

    with_owner(body)


def test_batches_without_a_producer_are_at_least_once(with_owner: Callable[..., None]) -> None:
    async def body(owner: Owner, links: Links) -> None:
        heard: list[Any] = []
        owner.answering.is_mute = True
        links.append(OWNER, TOPIC_ID, 0, batch([b"letter"]), ACKS_ALL, heard.append)
        await until(lambda: owner.answering.taken == 1)
        await owner.die()
        assert not heard
        await owner.start()
        await until(lambda: heard)
        assert await owner.values() == [b"letter", b"letter"]

    with_owner(body)


def test_an_owner_that_stays_away_is_waited_for_and_then_given_up(
    with_owner: Callable[..., None],
) -> None:
    async def body(owner: Owner, links: Links) -> None:
        heard: list[Any] = []
        room = Room(1000)
        link = links._links[OWNER]
        drained: list[int] = []
        appends = RemoteAppends(link, TOPIC_ID, 0, room, lambda: drained.append(1), patience_s=0.2)
        await owner.die()
        await until(lambda: not link.is_up)
        appends.append(batch([b"x" * 500], 5, 0), ACKS_ALL, heard.append)
        with pytest.raises(RequestError) as refused:
            appends.append(batch([b"x" * 500], 5, 1), ACKS_ALL, heard.append)
        assert refused.value.code is ErrorCode.NOT_LEADER_OR_FOLLOWER
        await until(lambda: heard)
        assert [error.code for error in heard] == [ErrorCode.NOT_LEADER_OR_FOLLOWER]
        assert room.bytes_left == 1000
        assert drained == [1]
        await owner.start()
        await until(lambda: link.is_up)
        assert owner.answering.taken == 0

    with_owner(body)


def test_closing_gives_up_what_is_on_its_way(with_owner: Callable[..., None]) -> None:
    async def body(owner: Owner, links: Links) -> None:
        heard: list[Any] = []
        owner.answering.is_mute = True
        links.append(OWNER, TOPIC_ID, 0, batch([b"x"]), ACKS_ALL, heard.append)
        await links.close()
        assert [error.code for error in heard] == [ErrorCode.NOT_LEADER_OR_FOLLOWER]

    with_owner(body)


def test_markers_are_written_or_told_as_lost(with_owner: Callable[..., None]) -> None:
    async def body(owner: Owner, links: Links) -> None:
        heard: list[Any] = []
        marker = Marker(9, 0, 0, commit=True)
        links.append_marker(OWNER, TOPIC_ID, 0, marker, heard.append)
        await until(lambda: heard)
        assert heard == [Appended(0, 0, -1, 0, False)]
        owner.answering.is_mute = True
        links.append_marker(OWNER, TOPIC_ID, 0, marker, heard.append)
        await until(lambda: owner.answering.taken == 2)
        await owner.die()
        await until(lambda: len(heard) == 2)
        assert heard[1].code is ErrorCode.NETWORK_EXCEPTION
        with pytest.raises(RequestError) as refused:
            links.append_marker(OWNER, TOPIC_ID, 0, marker, heard.append)
        assert refused.value.code is ErrorCode.BROKER_NOT_AVAILABLE

    with_owner(body)


def test_requests_that_are_none_are_refused(with_owner: Callable[..., None]) -> None:
    async def body(owner: Owner, links: Links) -> None:
        link = links._links[OWNER]
        for kind in answering_module.Ask:
            with contextlib.suppress(RequestError):
                await link.ask(kind, b"\xff" * 11, 5)
            await until(lambda: link.is_up)
        with pytest.raises(RequestError):
            await link.ask(99, b"", 5)
        await until(lambda: link.is_up)
        heard: list[Any] = []
        links.append(OWNER, TOPIC_ID, 0, batch([b"x"]), ACKS_ALL, heard.append)
        await until(lambda: heard)
        assert isinstance(heard[0], Appended)

    with_owner(body)


def test_a_worker_that_stops_waits_a_moment_for_those_that_live(
    with_owner: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links_module, "SETTLE_S_MAX", 0.1)

    async def body(owner: Owner, links: Links) -> None:
        heard: list[Any] = []
        links.append(OWNER, TOPIC_ID, 0, batch([b"x"]), ACKS_ALL, heard.append)
        await links.settle()
        assert isinstance(heard[0], Appended)
        owner.answering.is_mute = True
        links.append(OWNER, TOPIC_ID, 0, batch([b"x"]), ACKS_ALL, heard.append)
        await links.settle()
        assert heard[1].code is ErrorCode.NOT_LEADER_OR_FOLLOWER
        await owner.die()
        await until(lambda: not links.is_linked(OWNER))
        monkeypatch.setattr(links_module, "SETTLE_S_MAX", 60)
        links.append(OWNER, TOPIC_ID, 0, batch([b"x"]), ACKS_ALL, heard.append)
        await links.settle()
        assert heard[2].code is ErrorCode.NOT_LEADER_OR_FOLLOWER

    with_owner(body)


def test_who_comes_back_is_told_what_changed_meanwhile(with_owner: Callable[..., None]) -> None:
    async def body(owner: Owner, links: Links) -> None:
        await until(lambda: len(owner.taken_up) == len(Change))
        await links.tell(Change.TOPICS)
        assert owner.taken_up == [*Change, Change.TOPICS]
        await owner.die()
        await until(lambda: not links.is_linked(OWNER))
        await links.tell(Change.TOPICS)
        owner.taken_up.clear()
        await owner.start()
        await until(lambda: owner.taken_up == [*Change])

    with_owner(body)


def test_no_more_is_taken_than_a_link_takes(with_owner: Callable[..., None]) -> None:
    async def body(owner: Owner, links: Links) -> None:
        heard: list[Any] = []
        owner.answering.is_mute = True
        room = Room(count_max=1)
        appends = RemoteAppends(links._links[OWNER], TOPIC_ID, 0, room, lambda: None)
        appends.append(batch([b"x"], 5, 0), ACKS_ALL, heard.append)
        with pytest.raises(RequestError) as refused:
            appends.append(batch([b"x"], 5, 1), ACKS_ALL, heard.append)
        assert refused.value.code is ErrorCode.NOT_LEADER_OR_FOLLOWER
        appends.give_up(RequestError(ErrorCode.NOT_LEADER_OR_FOLLOWER, "over"))
        assert room.count_left == 1

    assert APPENDS_MAX < REQUESTS_MAX
    with_owner(body)
