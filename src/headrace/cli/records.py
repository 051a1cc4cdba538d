"""A record as a line of text: what `produce` reads and `consume` writes.

As JSON a record is one object a line, and what `consume --format json` writes,
`produce --format json` reads:

    topic, partition, offset   where it is (produce heeds only partition)
    timestamp_ms               since the epoch, UTC
    key, value                 text, null, or {"base64": "..."} where the bytes are no UTF-8
    headers                    a list of [name, value]; a value is written like key and value
    stream                     PRODUCER:EPOCH:SEQUENCE, with `consume --show-stream` only

On the way in `headers` may also be an object, and any other JSON as a key or value stands for its
own text: {"value": {"delay": 7}} writes the record {"delay":7}.
What must not enter: Kafka's client, files, the terminal.
"""

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

__all__ = ["Headers", "Incoming", "Received", "as_json", "as_text", "as_value", "from_json"]

Headers = list[tuple[str, bytes | None]]

_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_KEYS: Final = frozenset(
    {"topic", "partition", "offset", "timestamp_ms", "key", "value", "headers", "stream"}
)
# Control characters could steer the terminal that shows them.
_VISIBLE: Final = {
    code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) != "\t"
} | {ord("\n"): "\\n", ord("\r"): "\\r"}


class Incoming(NamedTuple):
    """A record that is to be produced; None for what it does not say itself."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int | None = None
    timestamp_ms: int | None = None


class Received(NamedTuple):
    """A record that was consumed; `timestamp_ms` is None where it has none."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers
    stream: str | None = None
    """PRODUCER:EPOCH:SEQUENCE, where that was asked for; `-` if it has none."""


def from_json(line: bytes) -> Incoming:
    """Raises ValueError, which says what is wrong with `line`."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError('expected an object such as {"key": "a", "value": "b"}')
    for name in found:
        if name not in _KEYS:
            raise ValueError(f'unknown key "{name}"; known: {", ".join(sorted(_KEYS))}')
    return Incoming(
        _bytes_of(found.get("key")),
        _bytes_of(found.get("value")),
        _headers_of(found.get("headers")),
        _whole_number(found, "partition", 2**31),
        _whole_number(found, "timestamp_ms", 2**63),
    )


def as_json(record: Received) -> bytes:
    shown = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": _json_of(record.key),
        "value": _json_of(record.value),
        "headers": [[name, _json_of(value)] for name, value in record.headers],
    }
    if record.stream is not None:
        shown["stream"] = record.stream
    return _ENCODE(shown).encode()


def as_value(record: Received) -> bytes:
    """The value's own bytes; nothing for null."""
    return record.value or b""


def as_text(record: Received) -> bytes:
    """For a person: when, where, key, value, headers; nothing in it can steer a terminal."""
    parts = [
        _time_text(record.timestamp_ms),
        f"{record.partition}:{record.offset}",
        _visible(record.key),
        _visible(record.value),
    ]
    if record.stream is not None:
        parts.insert(2, record.stream.translate(_VISIBLE))
    parts += [f"{name}={_visible(value)}".translate(_VISIBLE) for name, value in record.headers]
    return "  ".join(parts).encode()


def _time_text(timestamp_ms: int | None) -> str:
    if timestamp_ms is None:
        return "-"
    try:
        moment = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return str(timestamp_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _visible(data: bytes | None) -> str:
    if data is None:
        return "null"
    return data.decode(errors="backslashreplace").translate(_VISIBLE)


def _json_of(data: bytes | None) -> str | dict[str, str] | None:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _bytes_of(value: Any) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, str):
        return _utf8(value)
    if isinstance(value, dict) and value.keys() == {"base64"} and isinstance(value["base64"], str):
        try:
            return base64.b64decode(value["base64"], validate=True)
        except binascii.Error as error:
            raise ValueError(f"not base64: {error}") from None
    return _utf8(_ENCODE(value))


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair is no text") from None


def _headers_of(value: Any) -> Headers:
    if value is None:
        return []
    pairs = list(value.items()) if isinstance(value, dict) else value
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str)
        for pair in pairs
    ):
        raise ValueError("headers: expected an object or a list of [name, value]")
    return [(_utf8(name).decode(), _bytes_of(value)) for name, value in pairs]


def _whole_number(found: dict[str, Any], name: str, below: int) -> int | None:
    value = found.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < below:
        raise ValueError(f"{name}: expected a whole number from 0 to {below - 1}")
    return value
