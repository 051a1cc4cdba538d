"""How the official SDK's Arrow mode talks: Flight's DoPut with JSON in app_metadata.

    client                                     server
    schema, no app_metadata                    {"ack_up_to_offset": -1, "ack_up_to_records": 0}
    record batch, {"offset_id": 0, 1, 2 ...}   {"ack_up_to_offset": n, "ack_up_to_records": rows}
                                               the same with "close_stream_duration_ms"

The table stands in the call's header only. A record batch becomes one record of the topic: a whole
Arrow IPC stream of the schema, that batch and the end, which any Arrow library reads alone
(`pyarrow.ipc.open_stream`), whatever was sent before it and at whichever offset a reader begins.
Rows are counted, not looked at: there is no schema here to check them against.

What must not enter: pyarrow.
"""

import json
from typing import Any, Final, NoReturn

from headrace.doors.http2.messages import PREFIX_BYTES, Messages
from headrace.doors.http2.status import GrpcError, Status
from headrace.doors.http2.zerobus.intake import Opened, Opening, Record, Taken
from headrace.wire.arrow_flight import (
    MessageKind,
    ipc_stream,
    put_result,
    read_flight_data,
    read_header,
)
from headrace.wire.errors import MalformedError

__all__ = ["ArrowSpeech"]

SCHEMA_BYTES_MAX: Final = 1024 * 1024
METADATA_BYTES_MAX: Final = 64 * 1024


def _refuse(why: str) -> NoReturn:
    raise GrpcError(Status.INVALID_ARGUMENT, why)


class ArrowSpeech:
    """A `Speech`."""

    def __init__(self) -> None:
        self._schema = b""

    def read_opening(self, message: memoryview) -> Opening:
        try:
            data = read_flight_data(message)
            kind, _ = read_header(data.header)
        except MalformedError as error:
            _refuse(f"the first message cannot be read: {error}")
        if kind != MessageKind.SCHEMA:
            _refuse("the first message has to be the schema")
        if len(data.header) > SCHEMA_BYTES_MAX:
            _refuse(f"a schema of {len(data.header)} bytes; up to {SCHEMA_BYTES_MAX} are taken")
        self._schema = bytes(data.header)
        return Opening()

    def opened(self, opening: Opening, opened: Opened) -> bytes:
        return self.ack(-1, 0)

    def take(self, messages: Messages, first: int, offset: int) -> Taken:
        records: list[Record] = []
        counts: list[int] = []
        rows = 0
        start = messages.ends[first - 1] if first else 0
        try:
            for end in messages.ends[first:]:
                taken, record = self._take_one(messages.data[start + PREFIX_BYTES : end], offset)
                records.append(record)
                counts.append(1)
                rows += taken
                offset += 1
                start = end
        except GrpcError as fault:
            return Taken(records, counts, rows, (), fault)
        return Taken(records, counts, rows)

    def _take_one(self, message: memoryview, offset: int) -> tuple[int, bytes]:
        """(rows, record). Raises GrpcError."""
        try:
            data = read_flight_data(message)
            kind, rows = read_header(data.header)
        except MalformedError as error:
            _refuse(f"the message of offset {offset} cannot be read: {error}")
        if kind != MessageKind.RECORD_BATCH:
            _refuse(f"offset {offset} has an Arrow message of kind {kind}, not a record batch (3)")
        found = _offset(data.app_metadata)
        if found != offset:
            _refuse(f"offset {found} came where {offset} is next")
        return rows, ipc_stream(self._schema, data.header, data.body)

    def ack(self, up_to: int, rows: int) -> bytes:
        return _result({"ack_up_to_offset": up_to, "ack_up_to_records": rows})

    def close_signal(self, up_to: int, rows: int, duration_s: float) -> bytes:
        return _result(
            {
                "ack_up_to_offset": up_to,
                "ack_up_to_records": rows,
                "close_stream_duration_ms": int(duration_s * 1000),
            }
        )


def _offset(app_metadata: memoryview) -> object:
    """offset_id, None if there is none."""
    if len(app_metadata) > METADATA_BYTES_MAX:
        _refuse(f"app_metadata of {len(app_metadata)} bytes")
    try:
        found = json.loads(str(app_metadata, "utf-8"))
    except (ValueError, RecursionError):
        _refuse("app_metadata is not JSON")
    return found.get("offset_id") if isinstance(found, dict) else None


def _result(said: dict[str, Any]) -> bytes:
    return put_result(json.dumps(said, separators=(",", ":")).encode())
