"""One node: a broker and its doors, opened and closed in the right order.

This is what runs inside `headrace serve` and inside a test process alike; it installs no signal
handler, prints nothing and leaves the loop as it was.
"""

import contextlib
import logging

from headrace.broker.broker import Broker, BrokerOptions, OpenError
from headrace.broker.parts import CloseError, Parts
from headrace.doors.kafka.listener import Limits, Listener
from headrace.server.config import Address, ServerConfig

__all__ = ["CloseError", "Node", "StartError"]

log = logging.getLogger("headrace")


class StartError(Exception):
    """Why the node cannot start, in one line for a person."""


class Node:
    """A running broker with its Kafka door open."""

    def __init__(
        self, broker: Broker, kafka: Listener, kafka_address: Address, parts: Parts
    ) -> None:
        self.broker = broker
        self.kafka = kafka
        self.kafka_address = kafka_address
        self._parts = parts
        """What was bound, not what is advertised."""

    @classmethod
    async def start(cls, config: ServerConfig) -> "Node":
        """Open the data directory and the port; ready for clients on return. Raises StartError,
        with nothing left open."""
        parts = Parts()
        try:
            return await cls._start(config, parts)
        except BaseException as error:
            with contextlib.suppress(CloseError):  # which was logged, and is not why
                await parts.close()
            if isinstance(error, OpenError):
                raise StartError(str(error)) from error
            raise

    @classmethod
    async def _start(cls, config: ServerConfig, parts: Parts) -> "Node":
        broker = await Broker.open(
            BrokerOptions(
                data_dir=config.data_dir,
                durability=config.durability,
                node_id=config.node_id,
                broker_configs=config.broker,
                topic_configs=config.topic,
            )
        )
        parts.add("the broker", broker.close)
        kafka = Listener(broker, _limits(broker))
        parts.add("the Kafka door", kafka.close)
        try:
            host, port = await kafka.bind(config.kafka.host, config.kafka.port)
        except OSError as error:
            raise StartError(
                f"cannot listen on {config.kafka}: {error.strerror or error}"
            ) from error
        advertised = config.advertised(port)
        broker.advertise(advertised.host, advertised.port)
        kafka.open()
        return cls(broker, kafka, Address(host, port), parts)

    async def stop(self) -> None:
        """Drain the doors, then close the broker: what was acknowledged is on the disk. Idempotent.

        Raises CloseError when a part of this failed; the rest is closed all the same.
        """
        await self._parts.close()


def _limits(broker: Broker) -> Limits:
    return Limits(
        connections_max=broker.configs.integer("max.connections"),
        frame_bytes_max=broker.configs.integer("socket.request.max.bytes"),
        idle_s=broker.configs.integer("connections.max.idle.ms") / 1000,
    )
