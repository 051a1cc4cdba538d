"""Fetch (key 1), versions 4-18.

- long poll until min_bytes or max_wait_ms; an error ends the wait at once
- whole batches only; an offset inside a batch yields the whole batch
- no fetch sessions (KIP-227): every answer carries session id 0, which every client accepts; a
  request that continues a session gets FETCH_SESSION_ID_NOT_FOUND and starts over
- no records is an empty field, never null
- read_committed: records up to the last stable offset, markers too, and which transactions in them
  were aborted, by first offset; null for read_uncommitted
- v13 topics by id, v18 as v17 (the high watermark a follower would tell is not used)
"""

import logging
from typing import TYPE_CHECKING

from headrace.broker.fetch import Fetched, Slice, fetch, warm
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.fetch import FetchRequest, PartitionAnswer, PartitionWant, write_fetch
from headrace.wire.header import RequestHead

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["VERSIONS", "serve"]

VERSIONS = (4, 18)

log = logging.getLogger("headrace.kafka")


async def serve(broker: "Broker", request: FetchRequest, head: RequestHead) -> list[bytes | Slice]:
    """The response frame in parts; slices in it are hot and must be released by the sender."""
    if request.session_id != 0 and request.session_epoch > 0:
        broker.stats.errors[ApiKey.FETCH, ErrorCode.FETCH_SESSION_ID_NOT_FOUND] += 1
        return list(
            write_fetch(
                [],
                head.correlation_id,
                head.api_version,
                error_code=ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
            )
        )
    answers = await fetch(
        broker,
        request.wants,
        min_bytes=request.min_bytes,
        max_bytes=request.max_bytes,
        max_wait_ms=request.max_wait_ms,
        committed=request.read_committed,
    )
    try:
        for place, answer in enumerate(answers):
            if answer.records is not None and answer.records.cold:
                answers[place] = await _warmed(answer, answer.records)
    except BaseException:
        for answer in answers:
            if answer.records is not None:
                answer.records.release()
        raise
    head_pieces = write_fetch(
        [_told(want, answer) for want, answer in zip(request.wants, answers, strict=True)],
        head.correlation_id,
        head.api_version,
    )
    parts: list[bytes | Slice] = [head_pieces[0]]
    for answer, piece in zip(answers, head_pieces[1:], strict=True):
        if answer.error is not None:
            broker.stats.errors[ApiKey.FETCH, answer.error.code] += 1
        if answer.records is not None:
            parts.append(answer.records)
        parts.append(piece)
    return parts


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
    return answer


def _told(want: PartitionWant, answer: Fetched) -> PartitionAnswer:
    return PartitionAnswer(
        want.topic,
        want.partition,
        0 if answer.error is None else answer.error.code,
        answer.high_watermark,
        answer.last_stable_offset,
        answer.log_start_offset,
        0 if answer.records is None else answer.records.size_bytes,
        answer.aborted,
    )
