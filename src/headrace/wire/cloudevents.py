"""Events (CloudEvents 1.0) as records, and every record as an event.

An event is written in the binary content mode of the CloudEvents Kafka protocol binding 1.0.2
(section 3.2): the data is the record's value, `datacontenttype` is the header `content-type`
(3.2.1), and each other attribute is a header of its name behind `ce_` (3.2.3). The key is the
extension `partitionkey` if there is one (3.1, and the extension "Partitioning"), else the subject.

Reading never fails. A record with the attributes that an event must have is that event; one whose
content type is `application/cloudevents+json` holds the whole event (structured mode, 3.3). Any
other record is made an event: its place in the log names it, its key is the subject.
What must not enter: topics' rules, protobuf.
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from headrace.wire.records import Header, Record

__all__ = ["RECORD_TYPE", "Event", "InvalidEventError", "event_of", "record_of"]

RECORD_TYPE: Final = "headrace.record"
"""Of records that were not written as events."""
EXTENSIONS_MAX: Final = 100
NAME_CHARS_MAX: Final = 64
"""Of an extension's name; the specification advises up to 20 (section "Naming conventions")."""

_SPEC_VERSION: Final = "1.0"
_PREFIX: Final = "ce_"
_CONTENT_TYPE: Final = "content-type"
_STRUCTURED: Final = "application/cloudevents"
_PARTITION_KEY: Final = "partitionkey"
_REQUIRED: Final = ("id", "source", "type")
_OPTIONAL: Final = ("subject", "time", "dataschema", "datacontenttype")
_NO_EXTENSION: Final = frozenset((*_REQUIRED, *_OPTIONAL, "specversion", "data"))
_NAME: Final = re.compile(r"[a-z0-9]+")
_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS_MAX: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""


class InvalidEventError(ValueError):
    """Not an event as CloudEvents has it; says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened. `source` and `id` together name one event."""

    id: str
    source: str
    """A URI reference."""
    type: str
    data: bytes | None = None
    subject: str | None = None
    """Also the key of the record: events of one subject are told apart by nothing else."""
    time: str | None = None
    """When it happened (RFC 3339)."""
    datacontenttype: str | None = None
    dataschema: str | None = None
    extensions: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name, letters and digits only."""

    def check(self) -> None:
        """Raises InvalidEventError."""
        for name in _REQUIRED:
            if not getattr(self, name):
                raise InvalidEventError(f"the event has no {name}")
        if self.time is not None and not _TIME.fullmatch(self.time):
            raise InvalidEventError(f"the time {self.time[:40]!r} is not as RFC 3339 has it")
        if _is_structured(self.datacontenttype):
            raise InvalidEventError(f"the data of an event cannot be {_STRUCTURED}")
        if len(self.extensions) > EXTENSIONS_MAX:
            raise InvalidEventError(f"more than {EXTENSIONS_MAX} extensions")
        for name in self.extensions:
            if not _is_extension(name):
                raise InvalidEventError(f"no extension can be named {name[:40]!r}")


def record_of(event: Event) -> Record:
    """The record of an event; its time is when it is appended. Raises InvalidEventError."""
    event.check()
    headers: list[Header] = [("ce_specversion", _SPEC_VERSION.encode())]
    try:
        for name in (*_REQUIRED, "subject", "time", "dataschema"):
            text = getattr(event, name)
            if text is not None:
                headers.append((_PREFIX + name, text.encode()))
        headers += [(_PREFIX + name, text.encode()) for name, text in event.extensions.items()]
        if event.datacontenttype is not None:
            headers.append((_CONTENT_TYPE, event.datacontenttype.encode()))
        key = event.extensions.get(_PARTITION_KEY, event.subject)
        return Record(
            key=None if key is None else key.encode(), value=event.data, headers=tuple(headers)
        )
    except UnicodeEncodeError as error:
        raise InvalidEventError(f"an attribute is no text: {error.reason}") from None


def event_of(record: Record, topic: str, partition: int) -> tuple[Event, tuple[Header, ...]]:
    """The event that a record of the log is, and its headers that are no part of it. A key that is
    neither the subject nor text is told nowhere."""
    texts = _texts(record.headers)
    event = _structured(record, texts) or _binary(record, texts)
    if event is None:
        made = Event(
            id=str(record.offset),
            source=f"/{topic}/{partition}",
            type=RECORD_TYPE,
            data=record.value,
            subject=_text(record.key),
            time=_rfc3339(record.timestamp_ms),
            datacontenttype=texts.get(_CONTENT_TYPE),
        )
        if _is_structured(made.datacontenttype):
            return made, record.headers
        return made, tuple(header for header in record.headers if header[0] != _CONTENT_TYPE)
    return event, tuple(header for header in record.headers if not _is_told(*header))


def _binary(record: Record, texts: Mapping[str, str]) -> Event | None:
    named = {
        name.removeprefix(_PREFIX): text for name, text in texts.items() if name.startswith(_PREFIX)
    }
    named.pop("datacontenttype", None)
    content_type = texts.get(_CONTENT_TYPE)
    if content_type is not None:
        named["datacontenttype"] = content_type
    return _event(named, record.value, _text(record.key))


def _structured(record: Record, texts: Mapping[str, str]) -> Event | None:
    """The JSON event format 1.0.2 (section 3): the data is in `data` or in `data_base64`."""
    if record.value is None or not _is_structured(texts.get(_CONTENT_TYPE)):
        return None
    try:
        told = json.loads(record.value)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    encoded, data = told.pop("data_base64", None), told.pop("data", None)
    is_json = "json" in str(told.get("datacontenttype", "json"))
    try:
        value = _data(encoded, data, is_json=is_json)
        named = {name: _attribute(value) for name, value in told.items() if value is not None}
        "".join((*named, *named.values())).encode()  # JSON can say what is no text: "\\ud800"
    except (ValueError, RecursionError):
        return None
    return _event(named, value, _text(record.key))


def _data(encoded: Any, data: Any, *, is_json: bool) -> bytes | None:
    if isinstance(encoded, str):
        return base64.b64decode(encoded, validate=True)
    if data is None:
        return None
    if isinstance(data, str) and not is_json:
        return data.encode()
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def _attribute(value: Any) -> str:
    """The canonical text of a value that JSON has a type for (CloudEvents, "Type System")."""
    return value if isinstance(value, str) else json.dumps(value)


def _event(named: dict[str, str], data: bytes | None, key: str | None) -> Event | None:
    """None if these attributes are none of an event."""
    if not named.pop("specversion", "").startswith("1."):
        return None
    known = {name: named.pop(name) for name in (*_REQUIRED, *_OPTIONAL) if name in named}
    if not all(known.get(name) for name in _REQUIRED):
        return None
    if key is not None and key != known.get("subject"):
        named.setdefault(_PARTITION_KEY, key)
    extensions = {name: text for name, text in named.items() if _is_extension(name)}
    return Event(data=data, extensions=extensions, **known)


def _texts(headers: Iterable[Header]) -> dict[str, str]:
    """Headers that hold text; of several with one name the last. Names of headers are looked at in
    lower case (binding, 3.2.3.1), as librdkafka and the Java client leave them as they are."""
    texts: dict[str, str] = {}
    for name, value in headers:
        text = _text(value)
        if text is not None:
            texts[name.lower()] = text
    return texts


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _is_structured(content_type: str | None) -> bool:
    return content_type is not None and content_type.lower().startswith(_STRUCTURED)


def _is_told(name: str, value: bytes | None) -> bool:
    """Whether a header is part of the event."""
    name = name.lower()
    attribute = name.removeprefix(_PREFIX)
    is_attribute = name != attribute and (attribute in _NO_EXTENSION or _is_extension(attribute))
    return (is_attribute or name == _CONTENT_TYPE) and _text(value) is not None


def _is_extension(name: str) -> bool:
    return (
        len(name) <= NAME_CHARS_MAX
        and _NAME.fullmatch(name) is not None
        and name not in _NO_EXTENSION
    )


def _rfc3339(timestamp_ms: int) -> str | None:
    if not 0 <= timestamp_ms <= _MS_MAX:
        return None
    at = _EPOCH + timedelta(milliseconds=timestamp_ms)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
