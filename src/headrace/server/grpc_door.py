"""The gRPC door of a node: which services it has, and what TLS it speaks.

What must not enter: what a service does.
"""

from headrace.broker.broker import Broker
from headrace.doors.http2.health import Health, Serving
from headrace.doors.http2.listener import GrpcListener, tls_context
from headrace.doors.http2.services import Services
from headrace.doors.http2.streams.service import Streams
from headrace.doors.http2.zerobus.methods import register_zerobus
from headrace.server.config import ServerConfig

__all__ = ["GrpcDoor", "TlsError"]


class TlsError(Exception):
    """Certificate and key cannot be used, in one line for a person."""


class GrpcDoor:
    """The port with its services."""

    def __init__(self, config: ServerConfig, broker: Broker) -> None:
        """Raises TlsError."""
        self.services = Services()
        self.health = Health()
        self.health.register(self.services)
        register_zerobus(self.services, broker)
        Streams(broker).register(self.services)
        tls = None
        if config.grpc_cert is not None and config.grpc_key is not None:
            try:
                tls = tls_context(config.grpc_cert, config.grpc_key)
            except OSError as error:
                files = f"{config.grpc_cert} and {config.grpc_key}"
                raise TlsError(
                    f"cannot serve TLS with {files}: {error.strerror or error}"
                ) from error
        self.scheme = "http" if tls is None else "https"
        self.listener = GrpcListener(self.services, tls=tls, stats=broker.stats.grpc)

    async def open(self) -> None:
        self.health.set("", Serving.SERVING)
        await self.listener.open()

    async def close(self) -> None:
        """Calls that are under way may end, for a moment."""
        self.health.set("", Serving.NOT_SERVING)
        await self.listener.close()
