"""NATS JetStream: a PUB a record whose acknowledgements come to one inbox; a pull consumer without
acknowledgements that always has one to two requests of READ_RECORDS open.

The stream has the name of the log, and so has its only subject.
"""

import json
import re
from array import array
from typing import Final

from bench.latency.wires import TIME_BYTES, VALUE_BYTES, Ends, Template, moments, value

__all__ = ["NatsReceiving", "NatsSending"]

READ_RECORDS: Final = 5000
CONNECT: Final = b'CONNECT {"verbose":false,"pedantic":false}\r\n'
CONSUMER: Final = "latency"
PING, PONG = b"PING\r\n", b"PONG\r\n"
_ACK_END: Final = b"}\r\n"
_MESSAGE: Final = re.compile(
    rb"MSG [^ ]+ 2 [^ ]+ %d\r\n(.{%d}).{%d}\r\n"
    % (VALUE_BYTES, TIME_BYTES, VALUE_BYTES - TIME_BYTES),
    re.DOTALL,
)


def publish(subject: str, reply: str, payload: bytes) -> bytes:
    return f"PUB {subject} {reply} {len(payload)}\r\n".encode() + payload + b"\r\n"


class NatsSending:
    def __init__(self, log: str) -> None:
        self._template = Template.of(publish(log, "_INBOX.acks", value()))
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
        self._log = log
        self._open = 0
        """Records asked for that have not come."""
        self._reply = b""

    def hello(self) -> tuple[bytes, bytes]:
        """Also makes the consumer; the answer to that is JSON, while INFO ends with a blank."""
        config = {
            "durable_name": CONSUMER,
            "deliver_policy": "all",
            "ack_policy": "none",
            "replay_policy": "instant",
        }
        body = json.dumps({"stream_name": self._log, "config": config}).encode()
        api = f"$JS.API.CONSUMER.DURABLE.CREATE.{self._log}.{CONSUMER}"
        subscribe = b"SUB _INBOX.api 1\r\nSUB _INBOX.records 2\r\n"
        return CONNECT + subscribe + publish(api, "_INBOX.api", body), _ACK_END

    def ask(self) -> bytes:
        out, self._reply = self._reply, b""
        if self._open <= READ_RECORDS:
            self._open += READ_RECORDS
            api = f"$JS.API.CONSUMER.MSG.NEXT.{self._log}.{CONSUMER}"
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
