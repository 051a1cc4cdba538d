"""A Redis client for streams that sends XADD commands made beforehand and counts their answers.

Redis has no batches: a request of many records is as many commands, sent together (pipelining, the
form its documentation recommends for throughput). Readers use XREAD, which keeps nothing on the
server; the next one has to name the last id, so it waits for the whole answer.

RESP version 2, as far as these commands need it: arrays `*N`, bulk strings `$SIZE`, errors `-TEXT`,
each line ended by CR LF. Values hold no line feed, so lines can be counted.
"""

import socket
from collections.abc import Sequence
from typing import Any, Final

from bench.systems import Reader, Request, Writer

__all__ = ["RedisDriver", "RedisReader", "RedisWriter", "command", "parse"]

WAIT_S: Final = 60.0
READ_COUNT: Final = 1000
BLOCK_MS: Final = 500
RECEIVE_BYTES: Final = 1 << 20
BUFFER_BYTES: Final = 4 << 20
HEAD_LINES: Final = 5
"""Of an answer to XREAD: one stream, a pair, the size of its name, the name, how many entries."""
ENTRY_LINES: Final = 8
"""Pair, size, id, pair, size, field, size, value."""


def command(*words: bytes | str | int) -> bytes:
    """A command as an array of bulk strings."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


def parse(data: bytes, at: int = 0) -> tuple[Any, int]:
    """One value of RESP and where it ends. Raises IndexError when it is not whole, and
    RuntimeError for an error."""
    end = data.find(b"\r\n", at)
    if end < 0:
        raise IndexError("no whole line")
    kind, text, at = data[at : at + 1], data[at + 1 : end], end + 2
    if kind == b"+":
        return text.decode(), at
    if kind == b"-":
        raise RuntimeError(f"Redis answered {text.decode()}")
    size = int(text)
    if kind == b":":
        return size, at
    if size < 0:
        return None, at
    if kind == b"$":
        if at + size + 2 > len(data):
            raise IndexError("no whole string")
        return data[at : at + size], at + size + 2
    values = []
    for _ in range(size):
        value, at = parse(data, at)
        values.append(value)
    return values, at


def connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=WAIT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def ask(connection: socket.socket, *words: bytes | str | int) -> Any:
    """One command and its answer. Raises RuntimeError for an error."""
    connection.sendall(command(*words))
    answer = b""
    while True:
        data = connection.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionError("Redis closed the connection")
        answer += data
        try:
            return parse(answer)[0]
        except IndexError:
            continue


def key_of(log: str, partition: int) -> str:
    return f"{log}-{partition}"


class RedisWriter:
    def __init__(self, connection: socket.socket, log: str) -> None:
        self.socket = connection
        self._log = log
        self._rest = b""
        self._has_size = False
        """The first of an answer's two lines is here."""

    def request(self, values: Sequence[bytes], partition: int = 0) -> Request:
        key = key_of(self._log, partition)
        data = b"".join(command("XADD", key, "*", "v", value) for value in values)
        return Request(data, len(values), sum(map(len, values)), len(values))

    def answered(self, data: bytes) -> int:
        """Each is two lines, size and id; an error is one."""
        data = self._rest + data if self._rest else data
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        if b"\n-" in data[:end] or data[:1] == b"-":
            raise RuntimeError(f"Redis refused XADD: {data[:200]!r}")
        count, odd = divmod(data.count(b"\n") + self._has_size, 2)
        self._has_size = bool(odd)
        return count

    def close(self) -> None:
        self.socket.close()


class RedisReader:
    """XREAD with a count; counts lines until the answer is whole."""

    def __init__(
        self, connection: socket.socket, key: str, after: str, *, keeps_values: bool
    ) -> None:
        self.socket = connection
        self._key = key
        self._after = after
        self._keeps = keeps_values
        self._values: list[bytes] = []
        self._buffer = bytearray(BUFFER_BYTES)
        self._filled = 0
        self._lines = 0
        self._entries = -1
        """Of the answer that comes, -1 until its head is here."""

    def start(self) -> None:
        self._ask()

    def _ask(self) -> None:
        self._filled = self._lines = 0
        self._entries = -1
        words = ("XREAD", "COUNT", READ_COUNT, "BLOCK", BLOCK_MS, "STREAMS", self._key, self._after)
        self.socket.sendall(command(*words))

    def receive(self) -> int:
        if self._filled == len(self._buffer):
            self._buffer += bytes(len(self._buffer))
        before = self._filled
        with memoryview(self._buffer) as view:
            size = self.socket.recv_into(view[before:])
        if not size:
            raise ConnectionError("Redis closed the connection")
        self._filled += size
        self._lines += self._buffer.count(b"\n", before, self._filled)
        if self._entries < 0 and not self._read_head():
            return 0
        entries = self._entries
        if self._lines < HEAD_LINES + ENTRY_LINES * entries:
            return 0
        self._finish()
        self._ask()
        return entries

    def _read_head(self) -> bool:
        if self._buffer.startswith(b"*-1\r\n", 0, self._filled):
            self._ask()  # nothing came while it was blocked
            return False
        if self._buffer[:1] == b"-":
            raise RuntimeError(f"Redis refused XREAD: {bytes(self._buffer[: self._filled])!r}")
        if self._lines < HEAD_LINES:
            return False
        head = bytes(self._buffer[: self._filled]).split(b"\r\n", HEAD_LINES)
        self._entries = int(head[HEAD_LINES - 1][1:])
        return True

    def _finish(self) -> None:
        """Remember the id of the last entry, the sixth line from the end."""
        end = self._filled
        for _ in range(5):
            end = self._buffer.rfind(b"\n", 0, end - 1) + 1
        start = self._buffer.rfind(b"\n", 0, end - 1) + 1
        self._after = self._buffer[start : end - 2].decode()
        if self._keeps:
            lines = bytes(self._buffer[: self._filled]).split(b"\r\n")
            self._values += lines[HEAD_LINES + ENTRY_LINES - 1 :: ENTRY_LINES]

    def take(self) -> list[bytes]:
        values, self._values = self._values, []
        return values

    def close(self) -> None:
        self.socket.close()


class RedisDriver:
    records_under_way_max = 0

    def __init__(self, address: str) -> None:
        self._address = address
        self._control = connect(address)
        self._partitions: dict[str, int] = {}

    def create(self, log: str, partitions: int = 1) -> None:
        """Keys begin to exist with their first entries."""
        self._partitions[log] = partitions

    def delete(self, log: str) -> None:
        keys = [key_of(log, number) for number in range(self._partitions.pop(log))]
        ask(self._control, "DEL", *keys)

    def count(self, log: str) -> int:
        keys = [key_of(log, number) for number in range(self._partitions[log])]
        return sum(ask(self._control, "XLEN", key) for key in keys)

    def writer(self, log: str) -> Writer:
        return RedisWriter(connect(self._address), log)

    def reader(
        self, log: str, partition: int = 0, *, keeps_values: bool = False, tail: bool = False
    ) -> Reader:
        key, after = key_of(log, partition), "0"
        if tail and (last := ask(self._control, "XREVRANGE", key, "+", "-", "COUNT", 1)):
            after = last[0][0].decode()
        return RedisReader(connect(self._address), key, after, keeps_values=keeps_values)

    def close(self) -> None:
        self._control.close()
