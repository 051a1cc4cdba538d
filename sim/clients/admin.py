"""Creates and deletes topics, and remembers what it was told became of each."""

from itertools import count
from typing import Final

from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k19_create_topics import (
    CreatableTopic,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from headrace.wire.messages.k20_delete_topics import (
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DeleteTopicState,
)
from sim.clients.client import Client, Site
from sim.connection import Connection

__all__ = ["Admin"]

THINK_S: Final = 3.0


class Admin(Client):
    """The only one who touches its topics, so what it was told must hold. A topic of which it was
    not told, or told that the disk had failed, is left alone: a restart decides what became of it,
    and whoever asks before that is told what the broker has in memory."""

    def __init__(self, site: Site, name: str, topics: int) -> None:
        super().__init__(site, name)
        self.is_there: dict[str, bool | None] = {}
        """None: not known."""
        self._names = (f"temporary-{name}-{number}" for number in count())
        for _ in range(topics):
            self.is_there[next(self._names)] = False

    async def work(self, connection: Connection) -> None:
        while not self.is_done():
            topic = self.random.choice(list(self.is_there))
            if self.is_there[topic] is None:
                del self.is_there[topic]
                topic = next(self._names)
                self.is_there[topic] = False
            if self.random.random() < 0.5:
                await self.create(connection, topic)
            else:
                await self.delete(connection, topic)
            await self.think(THINK_S)

    async def create(self, connection: Connection, topic: str) -> None:
        wanted = CreatableTopic(
            name=topic, num_partitions=self.random.randint(1, 3), replication_factor=1
        )
        was_there, self.is_there[topic] = self.is_there[topic], None
        answer = await connection.ask(CreateTopicsRequest(topics=[wanted]), CreateTopicsResponse)
        self._learn(topic, answer.topics[0].error_code, was_there, makes=True)

    async def delete(self, connection: Connection, topic: str) -> None:
        was_there, self.is_there[topic] = self.is_there[topic], None
        request = DeleteTopicsRequest(topics=[DeleteTopicState(topic)])
        answer = await connection.ask(request, DeleteTopicsResponse)
        self._learn(topic, answer.responses[0].error_code, was_there, makes=False)

    def _learn(self, topic: str, code: int, was_there: bool | None, *, makes: bool) -> None:
        """What the answer says of before and after."""
        what = f"{'creating' if makes else 'deleting'} {topic}"
        in_vain = ErrorCode.TOPIC_ALREADY_EXISTS if makes else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        if code == in_vain:
            self.operations += 1
            if was_there is (not makes):
                self.problem(f"{what}: {ErrorCode(code).name}, it was told otherwise")
        elif self.refused(code, what):
            return
        elif was_there is makes:
            self.problem(f"{what}: done, though it was done before")
        self.is_there[topic] = makes
        self.note(f"{what}: {ErrorCode(code).name}")
