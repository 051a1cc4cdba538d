"""The services by which the official Zerobus SDK writes to topics; a table's name is a topic's.

What must not enter: how a stream goes (`intake`), how tokens and topics come to be, what the
services are called (`methods`).
"""

from functools import partial
from typing import TYPE_CHECKING, Final

from headrace.broker.rejected_records import BadRecord, set_aside
from headrace.doors.http2.bearer import check_token
from headrace.doors.http2.call import Call, Handler
from headrace.doors.http2.status import GrpcError, Status
from headrace.doors.http2.unary import unary
from headrace.doors.http2.zerobus.access import check_table
from headrace.doors.http2.zerobus.arrow import ArrowSpeech
from headrace.doors.http2.zerobus.checks import check_for
from headrace.doors.http2.zerobus.faults import grpc_error
from headrace.doors.http2.zerobus.handler import Granted, IngestHandler, SetRejectedAside
from headrace.doors.http2.zerobus.intake import Opened, Opening
from headrace.doors.http2.zerobus.speech import ZerobusSpeech
from headrace.wire.errors import ErrorCode, MalformedError, RequestError
from headrace.wire.zerobus import EPHEMERAL, PERSISTENT, RecordType, read_retire

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["Zerobus"]

ARROW: Final = "arrow"
"""The record type of Arrow streams, beside the names of RecordType in lower case."""


class Zerobus:
    """One for a door."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker

    def ephemeral(self, call: Call) -> Handler:
        """EphemeralStream. These raise GrpcError."""
        check_token(self._broker.tokens, call)
        speech = ZerobusSpeech(EPHEMERAL)
        return IngestHandler(call, speech, partial(self._open, speech))

    def persistent(self, call: Call) -> Handler:
        """PersistentStream."""
        check_token(self._broker.tokens, call)
        speech = ZerobusSpeech(PERSISTENT)
        return IngestHandler(call, speech, partial(self._open_persistent, speech))

    def put(self, call: Call) -> Handler:
        """DoPut of Arrow Flight."""
        check_token(self._broker.tokens, call)
        check_table(call, "")
        return IngestHandler(call, ArrowSpeech(), self._open_arrow)

    def retire(self, call: Call) -> Handler:
        """RetireStream."""
        return unary(self._retire).start(call)

    async def _open(self, speech: ZerobusSpeech, opening: Opening, owner: IngestHandler) -> Granted:
        topic = check_table(owner.call, opening.table_name)
        kind = _name(opening.record_type)
        stream = await self._broker.streams.open(
            topic, owner, client=owner.call.peer, record_type=kind
        )
        try:
            aside = self._check(speech, opening, topic, stream.id)
        except BaseException:
            stream.close()
            raise
        return Granted(stream, Opened(stream.id), aside)

    async def _open_persistent(
        self, speech: ZerobusSpeech, opening: Opening, owner: IngestHandler
    ) -> Granted:
        streams, peer = self._broker.streams, owner.call.peer
        kind = _name(opening.record_type)
        if opening.record_type == RecordType.AVRO:
            why = "persistent streams take PROTO and JSON records"
            raise GrpcError(Status.INVALID_ARGUMENT, why)
        if opening.resumes is None:
            topic = check_table(owner.call, opening.table_name)
            stream = await streams.create(topic, owner, client=peer, record_type=kind)
        else:
            stream = await streams.resume(opening.resumes, owner, client=peer, record_type=kind)
        try:
            check_table(owner.call, stream.topic)
            self._check(speech, opening, stream.topic, stream.id)
        except BaseException:
            stream.close()
            raise
        return Granted(stream, Opened(stream.id, stream.next_offset - 1))

    async def _open_arrow(self, opening: Opening, owner: IngestHandler) -> Granted:
        topic = check_table(owner.call, "")
        stream = await self._broker.streams.open(
            topic, owner, client=owner.call.peer, record_type=ARROW
        )
        return Granted(stream, Opened(stream.id))

    def _check(
        self, speech: ZerobusSpeech, opening: Opening, topic: str, stream_id: str
    ) -> SetRejectedAside | None:
        """Have records checked if the topic asks for it; returns where bad ones go. Those of a
        persistent stream end it: each of its messages has to leave its offset in the log."""
        config = self._broker.topics.get(topic).config
        if not config.ingest_validation:
            return None
        speech.check = check_for(opening.record_type, opening.descriptor_proto)
        into = config.ingest_dead_letter_topic
        if speech.check is None or not into or speech.is_persistent:
            return None
        speech.rejects = True

        async def aside(rejected: tuple[BadRecord, ...]) -> None:
            await set_aside(self._broker, into, topic, stream_id, rejected)

        return aside

    async def _retire(self, request: memoryview, call: Call) -> bytes:
        """Idempotent, so an id that nobody knows (any more) is retired already."""
        check_token(self._broker.tokens, call)
        try:
            retire = read_retire(request)
        except MalformedError as error:
            why = f"not a RetireStreamRequest: {error}"
            raise GrpcError(Status.INVALID_ARGUMENT, why) from None
        if not retire.stream_id:
            raise GrpcError(Status.INVALID_ARGUMENT, "RetireStream has no stream_id")
        topic = check_table(call, retire.table_name)
        try:
            await self._broker.streams.retire(retire.stream_id, topic)
        except RequestError as error:
            if error.code != ErrorCode.RESOURCE_NOT_FOUND:
                raise grpc_error(error) from None
        return b""


def _name(record_type: int) -> str:
    return RecordType(record_type).name.lower()
