"""Fetch (key 1), versions 4-18.

- long poll until min_bytes or max_wait_ms; an error ends the wait at once
- whole batches only; an offset inside a batch yields the whole batch
- no fetch sessions (KIP-227): every answer carries session id 0, which every client accepts; a
  request that continues a session gets FETCH_SESSION_ID_NOT_FOUND and starts over. What sessions
  are for, that nobody looks at partitions in which nothing has happened, every connection has
- no records is an empty field, never null
- read_committed: records up to the last stable offset, markers too, and which transactions in them
  were aborted, by first offset; null for read_uncommitted
- v13 topics by id, v18 as v17 (the high watermark a follower would tell is not used)
"""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import UUID

from headrace.broker.fetch import Fetched, Slice, warm
from headrace.broker.fetching import Answers, Fetching, Room
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.fetch import (
    FetchRequest,
    Known,
    PartitionAnswer,
    PartitionWant,
    read_fetch,
    write_answer,
    write_fetch,
)
from headrace.wire.header import RequestHead

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["VERSIONS", "Fetches"]

VERSIONS = (4, 18)

log = logging.getLogger("headrace.kafka")


class Fetches:
    """Those of one connection, one at a time. What a request says and what is answered are kept
    as they are on the wire, so that the next one costs what is different in it."""

    __slots__ = ("_broker", "_fetching", "_known", "_version", "_written")

    def __init__(self, broker: "Broker", room: Room) -> None:
        self._broker = broker
        self._fetching = Fetching(broker, room)
        self._version = -1
        self._known: Mapping[str | UUID, Known] = {}
        self._written: list[bytes] = []

    def forget(self) -> None:
        """Keep nothing of what was; the next fetch brings it again. Idempotent."""
        self._fetching.forget()
        self._version = -1
        self._known = {}
        self._written = []

    def read(self, frame: memoryview, head: RequestHead) -> FetchRequest:
        """Raises MalformedError."""
        if head.api_version != self._version:
            self.forget()
            self._version = head.api_version
        request = read_fetch(frame, head.body, head.api_version, self._known)
        self._known = request.known
        return request

    async def serve(self, request: FetchRequest, head: RequestHead) -> list[bytes | Slice]:
        """The response frame in parts; slices in it are hot and must be released by the sender."""
        if request.session_id != 0 and request.session_epoch > 0:
            self.forget()  # what it asks for is not counted in the room
            code = ErrorCode.FETCH_SESSION_ID_NOT_FOUND
            self._broker.stats.errors[ApiKey.FETCH, code] += 1
            return list(
                write_fetch([], [], {}, head.correlation_id, head.api_version, error_code=code)
            )
        answers = await self._fetching.fetch(
            request.wants,
            min_bytes=request.min_bytes,
            max_bytes=request.max_bytes,
            max_wait_ms=request.max_wait_ms,
            committed=request.read_committed,
        )
        records = await self._write(request, answers)
        sizes = {index: slice_.size_bytes for index, slice_ in records.items()}
        pieces = write_fetch(
            request.runs, self._written, sizes, head.correlation_id, head.api_version
        )
        if not self._fetching.is_remembered:
            self.forget()
        parts: list[bytes | Slice] = [pieces[0]]
        for slice_, piece in zip(records.values(), pieces[1:], strict=True):
            parts += (slice_, piece)
        return parts

    async def _write(self, request: FetchRequest, answers: Answers) -> dict[int, Slice]:
        """Bring what is written up to date; returns the records, which are hot, by place."""
        if len(self._written) != len(answers.all):
            self._written = [b""] * len(answers.all)
        changed = [(index, answers.all[index]) for index in answers.changed]
        records = {index: answer.records for index, answer in changed if answer.records is not None}
        try:
            for index, answer in changed:
                if answer.records is not None and answer.records.cold:
                    records.pop(index)
                    answer = await _warmed(answer, answer.records)
                    if answer.records is not None:
                        records[index] = answer.records
                if answer.error is not None:
                    self._broker.stats.errors[ApiKey.FETCH, answer.error.code] += 1
                told = _told(request.wants[index], answer)
                self._written[index] = write_answer(told, self._version)
        except BaseException:
            for slice_ in records.values():
                slice_.release()
            raise
        return dict(sorted(records.items()))


async def _warmed(answer: Fetched, records: Slice) -> Fetched:
    """The answer with its records in the page cache, or with why they cannot be read."""
    try:
        await warm(records)
    except OSError as error:
        records.release()
        message = f"records cannot be read: {error}"
        log.error("%s", message)
        refusal = RequestError(ErrorCode.KAFKA_STORAGE_ERROR, message)
        return Fetched(refusal, -1, -1, -1, None)
    except BaseException:
        records.release()
        raise
    return answer


def _told(want: PartitionWant, answer: Fetched) -> PartitionAnswer:
    return PartitionAnswer(
        want.partition,
        0 if answer.error is None else answer.error.code,
        answer.high_watermark,
        answer.last_stable_offset,
        answer.log_start_offset,
        0 if answer.records is None else answer.records.size_bytes,
        answer.aborted,
    )
