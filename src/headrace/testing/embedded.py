"""A node on a loop in a thread of its own, so that blocking clients can be used beside it."""

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, Final, Literal, TypeVar

from headrace.server.address import Address
from headrace.server.config import ServerConfig
from headrace.server.node import Node

__all__ = ["RunningBroker", "running_broker"]

STOP_S_MAX: Final = 30.0

T = TypeVar("T")


class RunningBroker:
    """A broker that accepts clients at `bootstrap` until its context ends."""

    def __init__(self, loop: asyncio.AbstractEventLoop, node: Node, data_dir: str) -> None:
        self._loop = loop
        self.node = node
        """The running parts, for tests that look inside; use `call` to touch them."""
        self.data_dir = data_dir
        self.host = node.kafka_address.host
        self.port = node.kafka_address.port

    @property
    def bootstrap(self) -> str:
        """What clients call bootstrap.servers."""
        return str(self.node.kafka_address)

    @property
    def http_url(self) -> str:
        """`http://127.0.0.1:PORT` of a broker that was started with `http`; see there."""
        return f"http://{self.node.http_address}"

    @property
    def grpc_target(self) -> str:
        """HOST:PORT of a broker that was started with `grpc`; see there."""
        return str(self.node.grpc_address)

    def call(self, work: Callable[[Node], Coroutine[Any, Any, T]]) -> T:
        """Run `work(node)` on the broker's own loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work(self.node), self._loop).result(STOP_S_MAX)

    def create_topic(
        self, name: str, partitions: int = 1, configs: Mapping[str, str] | None = None
    ) -> None:
        """Create a topic at once, without an admin client. Raises RequestError."""

        async def create(node: Node) -> None:
            await node.broker.topics.create(name, partitions, dict(configs or {}))

        self.call(create)


@contextlib.contextmanager
def running_broker(
    data_dir: str | None = None,
    *,
    port: int = 0,
    durability: Literal["fsync", "os"] = "os",
    http: bool = False,
    grpc: bool = False,
    broker: Mapping[str, str] | None = None,
    topic: Mapping[str, str] | None = None,
) -> Iterator[RunningBroker]:
    """A broker on 127.0.0.1, for as long as the context lasts.

    `data_dir` None is a temporary directory that goes with the broker; give one to restart on the
    same data. `http` and `grpc` open those doors too, on free ports. `broker` and `topic` are Kafka
    configs by name. Raises StartError.
    """
    with contextlib.ExitStack() as stack:
        if data_dir is None:
            data_dir = stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-"))
        config = ServerConfig(
            data_dir=data_dir,
            kafka=Address("127.0.0.1", port),
            http=Address("127.0.0.1", 0) if http else None,
            grpc=Address("127.0.0.1", 0) if grpc else None,
            durability=durability,
            broker=dict(broker or {}),
            topic=dict(topic or {}),
        )
        loop = _new_loop()
        stack.callback(loop.close)
        thread = threading.Thread(target=loop.run_forever, name="headrace-broker", daemon=True)
        thread.start()
        stack.callback(thread.join, STOP_S_MAX)
        stack.callback(loop.call_soon_threadsafe, loop.stop)
        node = asyncio.run_coroutine_threadsafe(Node.start(config), loop).result()
        stack.callback(
            lambda: asyncio.run_coroutine_threadsafe(node.stop(), loop).result(STOP_S_MAX)
        )
        yield RunningBroker(loop, node, data_dir)


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
