"""A NATS client for JetStream that publishes frames made beforehand and counts acknowledgements.

NATS has no batches on the wire: a request of many records is as many PUB frames, sent together,
each of which is acknowledged (what its clients call asynchronous publishing). The batches that
servers have since 2.14 (`allow_batched`) were tried and took as much of its processor for each
record, 5.5 us of it against 5.3, and with `sync_interval: always` each record is synced by itself
in both. Readers are pull consumers without acknowledgements that keep two pulls open, so that the
server never waits.

The protocol is lines ended by CR LF, with values behind those of MSG and HMSG. Values hold no line
feed, so lines can be counted.
"""

import json
import re
import socket
from collections.abc import Sequence
from itertools import count
from typing import Any, Final

from bench.systems import Reader, Request, Writer

__all__ = ["NatsDriver", "NatsReader", "NatsWriter", "split_messages"]

WAIT_S: Final = 60.0
RECEIVE_BYTES: Final = 1 << 20
PULL: Final = 1000
PULLS_OPEN: Final = 2
PULL_NS: Final = 300 * 10**9
"""Longer than any round: a pull ends with its last message."""
UNDER_WAY_MAX: Final = 8192
"""Records. A stream of this server holds 10,000 that are not written yet, and refuses more."""
PENDING: Final = re.compile(rb"Nats-Pending-Messages: (\d+)")
NUMBERS: Final = count(1)


def connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=WAIT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True}
    connection.sendall(b"CONNECT %s\r\nPING\r\n" % json.dumps(options).encode())
    seen = b""
    while not seen.endswith(b"PONG\r\n"):
        data = connection.recv(RECEIVE_BYTES)
        if not data or b"-ERR" in data:
            raise ConnectionError(f"NATS refused the connection: {data!r}")
        seen += data
    return connection


def publish(subject: str, reply: str, value: bytes) -> bytes:
    return b"PUB %s %s %d\r\n%s\r\n" % (subject.encode(), reply.encode(), len(value), value)


def stream_of(log: str, partition: int) -> str:
    return f"{log}-{partition}"


class Inbox:
    """A subject of its own that a connection listens to."""

    def __init__(self, connection: socket.socket) -> None:
        self.subject = f"_INBOX.{next(NUMBERS)}"
        connection.sendall(b"SUB %s 1\r\n" % self.subject.encode())


class NatsWriter:
    def __init__(self, connection: socket.socket, log: str) -> None:
        self.socket = connection
        self._log = log
        self._inbox = Inbox(connection)
        self._rest = b""

    def request(self, values: Sequence[bytes], partition: int = 0) -> Request:
        subject = stream_of(self._log, partition)
        data = b"".join(publish(subject, self._inbox.subject, value) for value in values)
        return Request(data, len(values), sum(map(len, values)), len(values))

    def answered(self, data: bytes) -> int:
        data = self._rest + data if self._rest else data
        end = data.rfind(b"\n") + 1
        whole, self._rest = data[:end], data[end:]
        if b'"error"' in whole or b"-ERR" in whole or b"NATS/1.0 503" in whole:
            raise RuntimeError(f"NATS refused a record: {whole[:300]!r}")
        if b"PING\r\n" in whole:
            self.socket.sendall(b"PONG\r\n")
        return whole.count(b'"seq":')

    def close(self) -> None:
        self.socket.close()


def split_messages(data: bytes) -> tuple[list[bytes], list[bytes], int]:
    """(values, header blocks of messages that have some, where the last whole one ends).

    Other lines (PING, PONG, +OK) are stepped over. Raises RuntimeError for -ERR.
    """
    values: list[bytes] = []
    headers: list[bytes] = []
    done = 0
    while (end := data.find(b"\r\n", done)) >= 0:
        words = data[done:end].split()
        verb = words[0] if words else b""
        if verb not in (b"MSG", b"HMSG"):
            if verb == b"-ERR":
                raise RuntimeError(f"NATS said {data[done:end]!r}")
            done = end + 2
            continue
        body, size = end + 2, int(words[-1])
        if body + size + 2 > len(data):
            break
        if verb == b"HMSG":
            headers.append(data[body : body + size])
        else:
            values.append(data[body : body + size])
        done = body + size + 2
    return values, headers, done


class NatsReader:
    def __init__(self, connection: socket.socket, pull: str, *, keeps_values: bool) -> None:
        """`pull` is the subject that the consumer is asked on."""
        self.socket = connection
        self._pull = publish(
            pull,
            Inbox(connection).subject,
            json.dumps({"batch": PULL, "expires": PULL_NS}).encode(),
        )
        self._keeps = keeps_values
        self._values: list[bytes] = []
        self._rest = b""
        self._asked = 0
        """Messages that open pulls have yet to bring."""

    def start(self) -> None:
        self._ask()

    def _ask(self) -> None:
        pulls = (PULLS_OPEN * PULL - self._asked) // PULL
        if pulls:
            self.socket.sendall(self._pull * pulls)
            self._asked += pulls * PULL

    def receive(self) -> int:
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionError("NATS closed the connection")
        data = self._rest + data if self._rest else data
        plain = not self._keeps and not any(one in data for one in (b"HMSG ", b"PING", b"-ERR"))
        found = self._count_lines(data) if plain else self._look_at_each(data)
        self._asked -= found
        self._ask()
        return found

    def _count_lines(self, data: bytes) -> int:
        """Nothing but MSG: two lines each."""
        end = data.rfind(b"\n") + 1
        found, odd = divmod(data.count(b"\n"), 2)
        if odd:
            end = data.rfind(b"\n", 0, end - 1) + 1
        self._rest = data[end:]
        return found

    def _look_at_each(self, data: bytes) -> int:
        values, headers, done = split_messages(data)
        if b"PING\r\n" in data[:done]:
            self.socket.sendall(b"PONG\r\n")
        self._rest = data[done:]
        for header in headers:
            unused = PENDING.search(header)
            if unused is None:
                raise RuntimeError(f"NATS answered a pull with {header!r}")
            self._asked -= int(unused[1])
        if self._keeps:
            self._values += values
        return len(values)

    def take(self) -> list[bytes]:
        values, self._values = self._values, []
        return values

    def close(self) -> None:
        self.socket.close()


class NatsDriver:
    records_under_way_max = UNDER_WAY_MAX

    def __init__(self, address: str) -> None:
        self._address = address
        self._control = connect(address)
        self._inbox = Inbox(self._control)
        self._partitions: dict[str, int] = {}

    def _ask(self, subject: str, body: dict[str, Any]) -> dict[str, Any]:
        """A request of the JetStream API. Raises RuntimeError when it is refused."""
        api = f"$JS.API.{subject}"
        self._control.sendall(publish(api, self._inbox.subject, json.dumps(body).encode()))
        data = b""
        values: list[bytes] = []
        while not values:
            data += self._control.recv(RECEIVE_BYTES)
            values, headers, _ = split_messages(data)
            if headers:
                raise RuntimeError(f"NATS answered {subject} with {headers[0]!r}")
        if b"PING\r\n" in data:
            self._control.sendall(b"PONG\r\n")
        answer: dict[str, Any] = json.loads(values[0])
        if "error" in answer:
            raise RuntimeError(f"NATS answered {subject} with {answer['error']}")
        return answer

    def create(self, log: str, partitions: int = 1) -> None:
        self._partitions[log] = partitions
        for number in range(partitions):
            name = stream_of(log, number)
            config = {"name": name, "subjects": [name], "storage": "file", "num_replicas": 1}
            self._ask(f"STREAM.CREATE.{name}", config)

    def delete(self, log: str) -> None:
        for number in range(self._partitions.pop(log)):
            self._ask(f"STREAM.DELETE.{stream_of(log, number)}", {})

    def count(self, log: str) -> int:
        names = [stream_of(log, number) for number in range(self._partitions[log])]
        return sum(int(self._ask(f"STREAM.INFO.{name}", {})["state"]["messages"]) for name in names)

    def writer(self, log: str) -> Writer:
        return NatsWriter(connect(self._address), log)

    def reader(
        self, log: str, partition: int = 0, *, keeps_values: bool = False, tail: bool = False
    ) -> Reader:
        stream = stream_of(log, partition)
        config = {
            "ack_policy": "none",
            "deliver_policy": "new" if tail else "all",
            "mem_storage": True,
            "inactive_threshold": PULL_NS,
        }
        body = {"stream_name": stream, "config": config}
        consumer = self._ask(f"CONSUMER.CREATE.{stream}", body)["name"]
        pull = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        return NatsReader(connect(self._address), pull, keeps_values=keeps_values)

    def close(self) -> None:
        self._control.close()
