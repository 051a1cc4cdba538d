"""Reaching a Kafka broker, any Kafka broker, through librdkafka, and its errors in plain words.

The client library is opened here, when a command needs it, and not before: `--help` stays quick.
What must not enter: anything that only Headrace has; what the commands do with a connection.
"""

import re
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from headrace.cli.failure import Exit, Failure, note
from headrace.cli.output import on_terminal
from headrace.cli.stopping import whole
from headrace.server.address import Address

if TYPE_CHECKING:
    from concurrent.futures import Future

    from confluent_kafka import Consumer, KafkaError, Producer, ShareConsumer
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.admin._metadata import ClusterMetadata

__all__ = ["BOOTSTRAP_DEFAULT", "TIMEOUT_DEFAULT_S", "Connection", "explain"]

T = TypeVar("T")

BOOTSTRAP_DEFAULT: Final = "127.0.0.1:9092"
TIMEOUT_DEFAULT_S: Final = 10.0
CLIENT_ID: Final = "headrace-cli"

_POLL_S: Final = 0.05
_WAITING_SHOWN_AFTER_S: Final = 1.0
_METADATA_SLICE_S: Final = 0.5
"""The client waits in C, deaf to Ctrl-C: ask in slices, each twice as long as the one before."""
_TOPIC_APPEARS_S: Final = 3.0
"""A broker that creates topics on demand says "unknown" first."""
_REASON: Final = re.compile(r"(?:failed|resolve '[^']*'): (.+?)(?: \(after.*)?$")


class _Whole:
    """An admin client whose calls, each a matter of a moment, no signal interrupts inside."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            with whole():
                return method(*args, **kwargs)

        return call


class Connection:
    """Where the broker is and how to speak to it; clients are made from it."""

    def __init__(self, bootstrap: str, timeout_s: float, properties: list[str] | None) -> None:
        """`properties` are librdkafka's own, as KEY=VALUE. Raises Failure (USAGE)."""
        self.bootstrap = ",".join(_server(text.strip()) for text in bootstrap.split(","))
        self.timeout_s = timeout_s
        self._properties = dict(_property(text) for text in properties or [])
        self._admin: AdminClient | None = None
        self._reason = ""
        self._down_since: float | None = None
        self._waiting_since = time.monotonic()
        self._waiting_shown = False

    @property
    def is_plain(self) -> bool:
        """Whether a connection needs neither encryption nor a password."""
        return self._properties.get("security.protocol", "plaintext").lower() == "plaintext"

    def admin(self) -> "AdminClient":
        """A client for topics and groups, known to reach the broker. Raises Failure."""
        from confluent_kafka.admin import AdminClient

        admin = cast("AdminClient", _Whole(self._client(AdminClient, {})))
        self._admin = admin
        self.wait(admin.describe_cluster(request_timeout=self.timeout_s), self.bootstrap)
        return admin

    def producer(self, properties: dict[str, Any]) -> "Producer":
        from confluent_kafka import Producer

        return self._client(Producer, properties)

    def consumer(self, properties: dict[str, Any]) -> "Consumer":
        from confluent_kafka import Consumer

        return self._client(Consumer, properties)

    def share_consumer(self, properties: dict[str, Any]) -> "ShareConsumer":
        from confluent_kafka import ShareConsumer

        return self._client(ShareConsumer, properties)

    def wait(self, future: "Future[T]", what: str) -> T:
        """What an admin request came to. Raises Failure: `what` (create topic x), and why not."""
        from confluent_kafka import KafkaException

        while True:
            try:
                return future.result(timeout=_POLL_S)
            except TimeoutError:
                if self._admin is not None:
                    self._admin.poll(0)  # delivers the reason to `_on_error`
                self._show_waiting()
            except KafkaException as refused:
                if _is_unreachable(refused.args[0]):
                    raise self.unreachable() from None
                raise explain(refused.args[0], what) from None

    def metadata(self, client: "AdminClient | Producer", topic: str | None) -> "ClusterMetadata":
        """The broker's topics, or `topic` alone. Raises Failure."""
        from confluent_kafka import KafkaException

        slice_s = _METADATA_SLICE_S
        deadline = time.monotonic() + self.timeout_s
        while True:
            left_s = deadline - time.monotonic()
            try:
                found: ClusterMetadata
                with whole():
                    if topic is None:
                        found = client.list_topics(timeout=min(slice_s, max(left_s, 0.01)))
                    else:
                        found = client.list_topics(topic, timeout=min(slice_s, max(left_s, 0.01)))
                return found
            except KafkaException as refused:
                client.poll(0)  # delivers the reason to `_on_error`
                if not _is_unreachable(refused.args[0]):
                    raise explain(refused.args[0], "metadata") from None
                if left_s <= slice_s:
                    raise self.unreachable() from None
                self._show_waiting()
                slice_s *= 2

    def find_topic(self, producer: "Producer", topic: str) -> int:
        """Wait until `topic` can be written to, which may be just when the broker has created it.

        Returns how many partitions it has. Raises Failure.
        """
        deadline = time.monotonic() + _TOPIC_APPEARS_S
        while True:
            found = self.metadata(producer, topic).topics[topic]
            error = found.error
            if error is None:
                return len(found.partitions)
            if not error.retriable() or time.monotonic() > deadline:
                raise explain(error, f"topic {topic}")
            producer.poll(_POLL_S)

    def unreachable(self) -> Failure:
        reason = f" ({self._reason})" if self._reason else ""
        return Failure(
            f"{self.bootstrap}: no Kafka broker answered within {self.timeout_s:g} s{reason}; "
            "start one with `headrace serve`, or name another with --bootstrap HOST:PORT",
            Exit.UNREACHABLE,
        )

    def outage_s(self) -> float:
        """For how long no broker has been heard of; 0 while one answers."""
        return time.monotonic() - self._down_since if self._down_since is not None else 0.0

    def heard(self) -> None:
        """A broker has just answered something."""
        self._down_since = None

    def _client(self, client: Callable[[dict[str, Any]], T], properties: dict[str, Any]) -> T:
        from confluent_kafka import KafkaException

        wanted = {
            "bootstrap.servers": self.bootstrap,
            "client.id": CLIENT_ID,
            "error_cb": self._on_error,
            "log_level": 0,  # the reason of a failure is told once, in our words
            **properties,
            **self._properties,
        }
        try:
            with whole():
                return client(wanted)
        except KafkaException as refused:
            raise Failure(f"-X: {refused.args[0].str()}", Exit.USAGE) from None

    def _on_error(self, error: "KafkaError") -> None:
        if error.code() == error._ALL_BROKERS_DOWN and self._down_since is None:
            self._down_since = time.monotonic()
        found = _REASON.search(error.str())
        if found is not None:
            self._reason = found[1]
        elif not self._reason:
            self._reason = error.str()

    def _show_waiting(self) -> None:
        waited_s = time.monotonic() - self._waiting_since
        if waited_s > _WAITING_SHOWN_AFTER_S and not self._waiting_shown and self._reason:
            self._waiting_shown = True
            if on_terminal(sys.stderr):
                note(f"waiting for {self.bootstrap} ({self._reason})")


def explain(error: "KafkaError", what: str) -> Failure:
    """One line for a person: what was tried, what the broker said, the code to look up."""
    reason = error.str().removeprefix("Broker: ").removeprefix("Local: ").rstrip(".")
    return Failure(f"{what}: {reason} ({error.name()})", reason=error.name())


def _is_unreachable(error: "KafkaError") -> bool:
    from confluent_kafka import KafkaError

    return error.code() in (
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
    )


def _server(text: str) -> str:
    """HOST:PORT; the port may be left out, as Kafka's tools allow."""
    try:
        return str(Address.parse(text if ":" in text else f"{text}:9092", port_min=1))
    except ValueError as expected:
        message = f'--bootstrap: expected {expected}, got "{text}"'
        raise Failure(message, Exit.USAGE) from None


def _property(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise Failure(f'-X: expected KEY=VALUE, got "{text}"', Exit.USAGE)
    return key, value
