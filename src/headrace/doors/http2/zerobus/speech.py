"""How Zerobus's own streams talk, ephemeral and persistent.

What must not enter: Arrow, topics, calls.
"""

import json
from typing import NoReturn

from headrace.broker.rejected_records import BadRecord
from headrace.doors.http2.messages import PREFIX_BYTES, Messages
from headrace.doors.http2.status import GrpcError, Status
from headrace.doors.http2.zerobus.checks import Check
from headrace.doors.http2.zerobus.intake import Opened, Opening, Record, Taken
from headrace.wire.errors import MalformedError
from headrace.wire.zerobus import (
    CreateStream,
    Dialect,
    Ingest,
    RecordType,
    ResumeStream,
    put_ack,
    put_close_signal,
    put_created,
    put_resumed,
    read_request,
    take_singles,
)

__all__ = ["ZerobusSpeech"]


def _refuse(why: str) -> NoReturn:
    raise GrpcError(Status.INVALID_ARGUMENT, why)


class ZerobusSpeech:
    """A `Speech`. `check` and `rejects` are set when the stream is opened on a topic that asks for
    records to be checked, and for the bad ones to be kept aside."""

    def __init__(self, dialect: Dialect) -> None:
        self.record_type = RecordType.UNSPECIFIED
        self.check: Check | None = None
        self.rejects = False
        self._dialect = dialect

    @property
    def is_persistent(self) -> bool:
        return self._dialect.resume > 0

    def read_opening(self, message: memoryview) -> Opening:
        try:
            request = read_request(message, self._dialect)
        except MalformedError as error:
            _refuse(f"the first message cannot be read: {error}")
        if isinstance(request, Ingest):
            _refuse("the first message has to open the stream")
        self._take_type(request)
        if isinstance(request, ResumeStream):
            if not request.stream_id:
                _refuse("resume_stream has no stream_id")
            descriptor = request.descriptor_proto
            return Opening("", request.record_type, descriptor, "", request.stream_id)
        return Opening(
            request.table_name,
            request.record_type,
            request.descriptor_proto,
            request.avro_schema_json,
        )

    def _take_type(self, request: CreateStream | ResumeStream) -> None:
        try:
            self.record_type = RecordType(request.record_type)
        except ValueError:
            self.record_type = RecordType.UNSPECIFIED
        if not self.record_type:
            _refuse(f"record_type {request.record_type}: PROTO (1), JSON (2) and AVRO (4) are")
        if isinstance(request, ResumeStream):
            return
        if self.record_type is RecordType.PROTO and not request.descriptor_proto:
            _refuse("a PROTO stream needs a descriptor_proto")
        if self.record_type is RecordType.AVRO:
            try:
                json.loads(request.avro_schema_json)
            except (ValueError, RecursionError):
                _refuse("an AVRO stream needs an avro_schema_json, which is JSON")

    def opened(self, opening: Opening, opened: Opened) -> bytes:
        if opening.resumes is not None:
            return put_resumed(opened.committed_offset)
        return put_created(opened.stream_id)

    def take(self, messages: Messages, first: int, offset: int) -> Taken:
        taking = _Taking(offset)
        try:
            while (index := first + len(taking.counts)) < len(messages):
                found: list[memoryview] = []
                count = take_singles(
                    messages.data,
                    messages.ends,
                    *(index, taking.offset, self.record_type, self._dialect.record),
                    found,
                )
                if not count:
                    found = self._take_one(messages, index, taking.offset)
                if self.check is not None:
                    self._check(taking, found, are_singles=count > 0)
                else:
                    taking.records += found
                    taking.counts += [1] * count or [len(found)]
        except _Fault as fault:
            return taking.taken(fault.error)
        return taking.taken()

    def _take_one(self, messages: Messages, index: int, offset: int) -> list[memoryview]:
        """The records of any ingest message."""
        start = messages.ends[index - 1] if index else 0
        try:
            request = read_request(
                messages.data[start + PREFIX_BYTES : messages.ends[index]], self._dialect
            )
        except MalformedError as error:
            raise _Fault(f"the message of offset {offset} cannot be read: {error}") from None
        if not isinstance(request, Ingest):
            raise _Fault("the stream is open already")
        if request.offset != offset:
            raise _Fault(f"offset {request.offset} came where {offset} is next")
        if request.record_type is not self.record_type:
            found, wanted = request.record_type.name, self.record_type.name
            raise _Fault(f"offset {offset} has {found} records on a {wanted} stream")
        return request.records

    def _check(self, taking: "_Taking", found: list[memoryview], *, are_singles: bool) -> None:
        """Put what is good to what is taken; `found` are messages of one record each, or the
        records of one message, which is taken as a whole or not at all."""
        good: list[Record] = []
        bad: list[BadRecord] = []
        for index, record in enumerate(found):
            offset, place = (taking.offset, 0) if are_singles else (taking.offset, index)
            why = self.check(record) if self.check is not None else None
            if why is None:
                good.append(record)
            elif self.rejects:
                bad.append(BadRecord(record, offset, place, why))
            else:
                raise _Fault(f"offset {offset}, record {place}: {why}")
            if are_singles:
                taking.add(good, bad)
                good, bad = [], []
        if not are_singles:
            taking.add(good, bad)

    def ack(self, up_to: int, rows: int) -> bytes:
        return put_ack(up_to, self._dialect)

    def close_signal(self, up_to: int, rows: int, duration_s: float) -> bytes:
        return put_close_signal(duration_s, self._dialect)


class _Taking:
    """What `take` has so far."""

    __slots__ = ("_first", "counts", "records", "rejected")

    def __init__(self, offset: int) -> None:
        self.records: list[Record] = []
        self.counts: list[int] = []
        self.rejected: list[BadRecord] = []
        self._first = offset

    @property
    def offset(self) -> int:
        """Whose turn it is."""
        return self._first + len(self.counts)

    def add(self, good: list[Record], bad: list[BadRecord]) -> None:
        """One message."""
        self.records += good
        self.rejected += bad
        self.counts.append(len(good))

    def taken(self, fault: GrpcError | None = None) -> Taken:
        return Taken(self.records, self.counts, 0, tuple(self.rejected), fault)


class _Fault(Exception):
    """The message that is next is not taken."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.error = GrpcError(Status.INVALID_ARGUMENT, why)
