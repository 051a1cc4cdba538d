"""One node: a broker and its doors, opened and closed in the right order.

This is what runs inside `headrace serve` and inside a test process alike; it installs no signal
handler, prints nothing and leaves the loop as it was.
"""

import logging

from headrace.broker.broker import Broker, BrokerOptions, OpenError
from headrace.doors.kafka.listener import Limits, Listener
from headrace.server.config import Address, ServerConfig

__all__ = ["Node", "StartError"]

log = logging.getLogger("headrace")


class StartError(Exception):
    """Why the node cannot start, in one line for a person."""


class Node:
    """A running broker with its Kafka door open."""

    def __init__(self, broker: Broker, kafka: Listener, kafka_address: Address) -> None:
        self.broker = broker
        self.kafka = kafka
        self.kafka_address = kafka_address
        """What was bound, not what is advertised."""

    @classmethod
    async def start(cls, config: ServerConfig) -> "Node":
        """Open the data directory and the port; ready for clients on return. Raises StartError."""
        try:
            broker = await Broker.open(
                BrokerOptions(
                    data_dir=config.data_dir,
                    durability=config.durability,
                    node_id=config.node_id,
                    broker_configs=config.broker,
                    topic_configs=config.topic,
                )
            )
        except OpenError as error:
            raise StartError(str(error)) from error
        kafka = Listener(broker, _limits(broker))
        try:
            host, port = await kafka.bind(config.kafka.host, config.kafka.port)
        except OSError as error:
            await broker.close()
            raise StartError(
                f"cannot listen on {config.kafka}: {error.strerror or error}"
            ) from error
        advertised = config.advertised(port)
        broker.advertise(advertised.host, advertised.port)
        kafka.open()
        return cls(broker, kafka, Address(host, port))

    async def stop(self) -> None:
        """Drain the doors, then close the broker: what was acknowledged is on the disk."""
        await self.kafka.close()
        await self.broker.close()


def _limits(broker: Broker) -> Limits:
    return Limits(
        connections_max=broker.configs.integer("max.connections"),
        frame_bytes_max=broker.configs.integer("socket.request.max.bytes"),
        idle_s=broker.configs.integer("connections.max.idle.ms") / 1000,
    )
