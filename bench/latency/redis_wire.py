"""Redis Streams in RESP: a pipelined XADD a record, XREAD BLOCK from the last entry on."""

import re
from array import array
from typing import Final

from bench.latency.wires import TIME_BYTES, VALUE_BYTES, Template, moments, value
from bench.raw_redis import command, key_of

__all__ = ["RedisReceiving", "RedisSending"]

READ_RECORDS_MAX: Final = 4000
FIELD: Final = b"v"
_ENTRY: Final = re.compile(
    rb"\*2\r\n\$\d+\r\n(\d+-\d+)\r\n\*2\r\n\$1\r\nv\r\n\$%d\r\n(.{%d}).{%d}\r\n"
    % (VALUE_BYTES, TIME_BYTES, VALUE_BYTES - TIME_BYTES),
    re.DOTALL,
)
_HEAD: Final = re.compile(rb"\*1\r\n\*2\r\n\$\d+\r\n[^\r]+\r\n\*(\d+)\r\n")
"""Of an answer: one stream, its key, how many entries."""


class RedisSending:
    def __init__(self, log: str) -> None:
        self._template = Template.of(command("XADD", key_of(log, 0), "*", FIELD, value()))
        self._lines = 0
        """Whole ones that are not a whole reply yet."""
        self._left = b""

    def hello(self) -> tuple[bytes, bytes]:
        return b"", b""

    def encode(self, times_ns: "array[int]") -> memoryview:
        return self._template.fill(times_ns)

    def acknowledged(self, data: bytes) -> int:
        """A reply is the id of the entry: a line with its length and a line with the id."""
        came = self._left + data
        end = came.rfind(b"\n") + 1
        whole, self._left = came[:end], came[end:]
        if whole.startswith(b"-") or b"\n-" in whole:
            raise RuntimeError(f"Redis refused a record: {whole[:200]!r}")
        self._lines += whole.count(b"\n")
        replies, self._lines = divmod(self._lines, 2)
        return replies

    def reply(self) -> bytes:
        return b""


class RedisReceiving:
    def __init__(self, log: str) -> None:
        self._key = key_of(log, 0)
        self._last_id = b"0-0"
        self._is_asked = False
        self._left = 0
        """Entries of the answer that are still to come."""

    def hello(self) -> tuple[bytes, bytes]:
        return b"", b""

    def ask(self) -> bytes:
        if self._is_asked:
            return b""
        self._is_asked = True
        words = ("XREAD", "COUNT", READ_RECORDS_MAX, "BLOCK", 0, "STREAMS", self._key)
        return command(*words, self._last_id)

    def parse(self, data: memoryview) -> "tuple[int, array[int]]":
        at = 0
        found: list[bytes] = []
        if not self._left:
            head = _HEAD.match(data)
            if head is None:
                if bytes(data[:1]) == b"-":
                    raise RuntimeError(f"Redis refused to read: {bytes(data[:200])!r}")
                return 0, array("q")
            self._left, at = int(head[1]), head.end()
        while self._left and (entry := _ENTRY.match(data, at)):
            found.append(entry[2])
            self._last_id, at = entry[1], entry.end()
            self._left -= 1
        self._is_asked = self._left > 0
        return at, moments(b"".join(found))
