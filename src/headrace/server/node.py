"""One node: a broker and its doors, opened and closed in the right order.

This is what runs inside `headrace serve` and inside a test process alike; it installs no signal
handler, prints nothing and leaves the loop as it was.
"""

import contextlib
import logging
import socket
from dataclasses import replace
from functools import partial

from headrace.broker.broker import Broker, BrokerOptions, OpenError
from headrace.broker.cluster.ownership import Ownership
from headrace.broker.parts import CloseError, Parts
from headrace.doors.http.listener import HttpListener
from headrace.doors.http2.listener import GrpcListener
from headrace.doors.kafka.listener import Limits, Listener
from headrace.log.store import Share
from headrace.server.config import Address, ServerConfig
from headrace.server.grpc_door import GrpcDoor, TlsError
from headrace.server.workers.part import WorkerPart

__all__ = ["CloseError", "Node", "StartError"]

log = logging.getLogger("headrace")


class StartError(Exception):
    """Why the node cannot start, in one line for a person."""


class Node:
    """A running broker with its doors open."""

    def __init__(
        self,
        broker: Broker,
        kafka: Listener,
        kafka_address: Address,
        http: HttpListener | None,
        http_address: Address | None,
        grpc: GrpcDoor | None,
        grpc_address: Address | None,
        parts: Parts,
    ) -> None:
        self.broker = broker
        self.http = http
        self.http_address = http_address
        self.kafka = kafka
        self.kafka_address = kafka_address
        """What was bound, not what is advertised."""
        self.grpc = grpc
        self.grpc_address = grpc_address
        self._parts = parts

    @classmethod
    async def start(cls, config: ServerConfig, part: WorkerPart | None = None) -> "Node":
        """Open the data directory and the ports, or as one of several workers its `part` of them;
        ready for clients on return. Raises StartError, with nothing left open."""
        parts = Parts()
        try:
            return await cls._start(config, part, parts)
        except BaseException as error:
            with contextlib.suppress(CloseError):  # which was logged, and is not why
                await parts.close()
            if isinstance(error, OpenError):
                raise StartError(str(error)) from error
            raise

    @classmethod
    async def _start(cls, config: ServerConfig, part: WorkerPart | None, parts: Parts) -> "Node":
        broker = await Broker.open(_broker_options(config, part))
        parts.add("the broker", broker.close)
        kafka = Listener(broker, _limits(broker))
        http = HttpListener(broker) if config.http is not None else None
        http_address = None
        grpc = None if part is not None and part.grpc_fd < 0 else _grpc_door(config, broker)
        grpc_address = None
        if http is not None:
            parts.add("the HTTP door", http.close)
        if grpc is not None:
            parts.add("the gRPC door", grpc.close)
        parts.add("the Kafka door", partial(_close_kafka, kafka, http))
        if part is None:
            address = await _bind(kafka, config.kafka, "")
            broker.advertise(config.advertised(address.port))
        else:
            kafka.listen_on(socket.socket(fileno=part.shared_fd))
            address = Address(*kafka.listen_on(socket.socket(fileno=part.kafka_fd)))
            broker.advertise(*part.advertised)
        if http is not None and config.http is not None:
            advice = "; set --http to another address, or to off"
            http_address = await _listen(http, config.http, part.http_fd if part else None, advice)
        if grpc is not None and config.grpc is not None:
            advice = "; set --grpc to another address, or to off"
            grpc_address = await _listen(
                grpc.listener, config.grpc, part.grpc_fd if part else None, advice
            )
        kafka.open()
        if grpc is not None:
            await grpc.open()
        if http is not None:
            http.routes.is_ready = True
            await http.open()
        return cls(broker, kafka, address, http, http_address, grpc, grpc_address, parts)

    @property
    def grpc_url(self) -> str | None:
        """The gRPC door as its clients want it, with http or https."""
        return None if self.grpc is None else f"{self.grpc.scheme}://{self.grpc_address}"

    async def stop(self) -> None:
        """Drain the doors, then close the broker: what was acknowledged is on the disk. Idempotent.

        Raises CloseError when a part of this failed; the rest is closed all the same.
        """
        await self._parts.close()


async def _close_kafka(kafka: Listener, http: HttpListener | None) -> None:
    """The HTTP door stays open meanwhile, so that whoever watches sees that clients must go."""
    if http is not None:
        http.routes.is_ready = False
    await kafka.close()


def _grpc_door(config: ServerConfig, broker: Broker) -> GrpcDoor | None:
    """Raises StartError."""
    if config.grpc is None:
        return None
    try:
        return GrpcDoor(config, broker)
    except TlsError as error:
        raise StartError(str(error)) from error


def _broker_options(config: ServerConfig, part: WorkerPart | None) -> BrokerOptions:
    options = BrokerOptions(
        data_dir=config.data_dir,
        durability=config.durability,
        node_id=config.node_id,
        broker_configs=config.broker,
        topic_configs=config.topic,
    )
    if part is None:
        return options
    return replace(
        options,
        ownership=Ownership(part.index, part.count, config.node_id),
        share=Share(part.own_dir, part.lock_fd),
        links_dir=part.links_dir,
    )


async def _listen(
    door: HttpListener | GrpcListener, address: Address, inherited_fd: int | None, advice: str
) -> Address:
    """On the socket that was inherited, or a new one; as `_bind`."""
    if inherited_fd is None:
        return await _bind(door, address, advice)
    return Address(*await door.listen_on(socket.socket(fileno=inherited_fd)))


async def _bind(
    door: Listener | HttpListener | GrpcListener, address: Address, advice: str
) -> Address:
    """What was bound. Raises StartError, which ends with `advice`."""
    try:
        return Address(*await door.bind(address.host, address.port))
    except OSError as error:
        raise StartError(
            f"cannot listen on {address}: {error.strerror or error}{advice}"
        ) from error


def _limits(broker: Broker) -> Limits:
    return Limits(
        connections_max=broker.configs.integer("max.connections"),
        frame_bytes_max=broker.configs.integer("socket.request.max.bytes"),
        idle_s=broker.configs.integer("connections.max.idle.ms") / 1000,
    )
