"""NATS JetStream: a PUB a record whose acknowledgements come to one inbox; a pull consumer without
acknowledgements that always has one to two requests of READ_RECORDS open.

The consumer is ephemeral and in memory, so that the server keeps nothing for it.
"""

import json
import re
from array import array
from typing import Final

from bench.latency.wires import TIME_BYTES, VALUE_BYTES, Ends, Template, moments, value
from bench.raw_nats import publish, stream_of

__all__ = ["NatsReceiving", "NatsSending"]

READ_RECORDS: Final = 5000
CONNECT: Final = b'CONNECT {"verbose":false,"pedantic":false}\r\n'
CONSUMER: Final = "latency"
INACTIVE_NS: Final = 300 * 10**9
PING, PONG = b"PING\r\n", b"PONG\r\n"
_ACK_END: Final = b"}\r\n"
_MESSAGE: Final = re.compile(
    rb"MSG [^ ]+ 2 [^ ]+ %d\r\n(.{%d}).{%d}\r\n"
    % (VALUE_BYTES, TIME_BYTES, VALUE_BYTES - TIME_BYTES),
    re.DOTALL,
)


class NatsSending:
    def __init__(self, log: str) -> None:
        self._template = Template.of(publish(stream_of(log, 0), "_INBOX.acks", value()))
        self._acks = Ends(_ACK_END)
        self._pings = Ends(PING)
        self._reply = b""

    def hello(self) -> tuple[bytes, bytes]:
        return CONNECT + b"SUB _INBOX.acks 1\r\n" + PING, PONG

    def encode(self, times_ns: "array[int]") -> memoryview:
        return self._template.fill(times_ns)

    def acknowledged(self, data: bytes) -> int:
        if b'"error"' in data or b"-ERR" in data:
            raise RuntimeError(f"NATS refused a record: {data[:300]!r}")
        self._reply = PONG * self._pings.count(data)
        return self._acks.count(data)

    def reply(self) -> bytes:
        reply, self._reply = self._reply, b""
        return reply


class NatsReceiving:
    def __init__(self, log: str) -> None:
        self._stream = stream_of(log, 0)
        self._open = 0
        """Records asked for that have not come."""
        self._reply = b""

    def hello(self) -> tuple[bytes, bytes]:
        """Also makes the consumer; the answer to that is JSON, while INFO ends with a blank."""
        config = {
            "name": CONSUMER,
            "deliver_policy": "all",
            "ack_policy": "none",
            "mem_storage": True,
            "inactive_threshold": INACTIVE_NS,
        }
        body = json.dumps({"stream_name": self._stream, "config": config}).encode()
        api = f"$JS.API.CONSUMER.CREATE.{self._stream}.{CONSUMER}"
        subscribe = b"SUB _INBOX.api 1\r\nSUB _INBOX.records 2\r\n"
        return CONNECT + subscribe + publish(api, "_INBOX.api", body), _ACK_END

    def ask(self) -> bytes:
        out, self._reply = self._reply, b""
        if self._open <= READ_RECORDS:
            self._open += READ_RECORDS
            api = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{CONSUMER}"
            out += publish(api, "_INBOX.records", b'{"batch":%d}' % READ_RECORDS)
        return out

    def parse(self, data: memoryview) -> "tuple[int, array[int]]":
        at = 0
        found: list[bytes] = []
        while True:
            if message := _MESSAGE.match(data, at):
                found.append(message[1])
                at = message.end()
            elif bytes(data[at : at + len(PING)]) == PING:
                self._reply += PONG
                at += len(PING)
            elif bytes(data[at : at + 4]) == b"-ERR":
                raise RuntimeError(f"NATS says {bytes(data[at : at + 100])!r}")
            else:
                break
        self._open -= len(found)
        return at, moments(b"".join(found))
