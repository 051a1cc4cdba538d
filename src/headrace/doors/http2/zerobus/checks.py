"""Whether a record is what its stream says it is, for topics with `headrace.ingest.validation`.

JSON has to parse (RFC 8259: no NaN, no Infinity), a protobuf message has to fit the stream's
descriptor (`wire.protobuf_shape`). Avro records are not looked into: a bare datum has nothing in it
by which it could be told from another.
What must not enter: what becomes of a record that is not.
"""

import json
from collections.abc import Callable
from typing import NoReturn

from headrace.doors.http2.status import GrpcError, Status
from headrace.wire.errors import MalformedError
from headrace.wire.protobuf_shape import MessageShape, read_shape
from headrace.wire.zerobus import RecordType

__all__ = ["Check", "check_for"]

Check = Callable[[memoryview], str | None]
"""Why the record is bad; None: it is not."""


def check_for(record_type: int, descriptor_proto: bytes) -> Check | None:
    """None: nothing can be said of such records. Raises GrpcError for a descriptor that is none."""
    if record_type == RecordType.JSON:
        return _check_json
    if record_type == RecordType.PROTO:
        try:
            return _check_against(read_shape(descriptor_proto))
        except MalformedError as error:
            why = f"descriptor_proto cannot be read: {error}"
            raise GrpcError(Status.INVALID_ARGUMENT, why) from None
    return None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_no_constant)


def _check_json(record: memoryview) -> str | None:
    try:
        _decoder.decode(str(record, "utf-8"))
    except RecursionError:
        return "not JSON that can be read: it is nested too deep"
    except ValueError as error:  # UnicodeDecodeError is one
        return f"not JSON: {error}"
    return None


def _check_against(shape: MessageShape) -> Check:
    def check(record: memoryview) -> str | None:
        try:
            shape.check(record)
        except MalformedError as error:
            return f"not a {shape.name}: {error}"
        return None

    return check
