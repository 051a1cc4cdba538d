"""ShareFetch (key 78), versions 1-2: records for a member of a share group (KIP-932).

- epoch 0 opens a share session, -1 closes it and gives back what the member holds; it ends with its
  connection as well
- acknowledgements take effect before anything is acquired, and are durable when the answer leaves;
  there can be none in a request that opens a session
- long poll until min_bytes, until records come back, or max_wait_ms; an error ends the wait at once
- whole batches with, beside them, the offsets that are the member's; control batches come along,
  as offsets that nobody holds
- an answer names the partitions with records, errors or acknowledgements; the one that opens a
  session names all
- v2 record limit (KIP-1206); a request that renews locks (KIP-1222) must not ask for records
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from headrace.broker.share.fetching import ShareFetched, ShareWant, share_fetch
from headrace.broker.share.sessions import CLOSING, OPENING, ShareSession
from headrace.doors.kafka.api import Api, RequestContext, WithRecords
from headrace.doors.kafka.share_acknowledging import TopicPartition, acknowledge, outcomes
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k78_share_fetch import (
    AcquiredRecords,
    AcquireMode,
    ShareFetchRequest,
    ShareFetchResponse,
    ShareFetchResponsePartition,
    ShareFetchResponseTopic,
    ShareLeaderIdAndEpoch,
)

if TYPE_CHECKING:
    from headrace.broker.broker import Broker
    from headrace.broker.fetch import Slice


async def handle(context: RequestContext, request: ShareFetchRequest) -> WithRecords:
    broker = context.broker
    answer = _Answer(broker)
    try:
        if broker.share_elsewhere is not None and request.share_session_epoch == OPENING:
            await broker.share_elsewhere.check_session(request.group_id)
        session = _session(context, request)
        acknowledging = acknowledge(
            broker.share, session, request.topics, renews=request.is_renew_ack
        )
        if request.share_session_epoch == CLOSING:
            broker.share.close_session(session)
        elif request.max_records > 0:
            await _fetch(broker, session, request, answer)
        if request.share_session_epoch == OPENING:
            answer.name_all(session.partitions)
        for key, error in (await outcomes(acknowledging)).items():
            answer.acknowledged(key, error)
    except RequestError as error:
        answer.release()
        return WithRecords(
            ShareFetchResponse(error_code=error.code, error_message=error.message), []
        )
    except BaseException:
        answer.release()
        raise
    return answer.message(broker.share.settings(session.group_id).lock_duration_ms)


def _session(context: RequestContext, request: ShareFetchRequest) -> ShareSession:
    """Raises RequestError, also for what can never be granted."""
    share = context.broker.share
    epoch = request.share_session_epoch
    asked = [(topic.topic_id, part) for topic in request.topics for part in topic.partitions]
    if epoch == OPENING and any(part.acknowledgement_batches for _, part in asked):
        raise RequestError(
            ErrorCode.INVALID_REQUEST, "nothing can be acknowledged before there is a session"
        )
    if request.share_acquire_mode not in set(AcquireMode):
        raise RequestError(
            ErrorCode.INVALID_REQUEST, f"there is no acquire mode {request.share_acquire_mode}"
        )
    if request.is_renew_ack and any(
        (request.max_wait_ms, request.min_bytes, request.max_bytes, request.max_records)
    ):
        raise RequestError(ErrorCode.INVALID_REQUEST, "a request that renews locks fetches nothing")
    session = share.session(request.group_id, request.member_id, epoch, context.connection_id)
    share.sessions.update(
        session,
        ((topic_id, part.partition_index) for topic_id, part in asked),
        ((t.topic_id, index) for t in request.forgotten_topics_data for index in t.partitions),
    )
    return session


async def _fetch(
    broker: "Broker", session: ShareSession, request: ShareFetchRequest, answer: "_Answer"
) -> None:
    found = []
    failed = False
    for key in session.in_turn():
        try:
            found.append(await broker.share.begin(session.group_id, *key))
        except RequestError as error:
            answer.failed(key, error)
            failed = True
    want = ShareWant(
        0 if failed else request.max_wait_ms,
        request.min_bytes,
        request.max_bytes,
        request.max_records,
        request.batch_size,
        AcquireMode(request.share_acquire_mode),
    )
    for fetched in await share_fetch(broker, session, found, want):
        answer.fetched(fetched)


class _Answer:
    """What is said of each partition, as it comes to be known."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._partitions: dict[TopicPartition, ShareFetchResponsePartition] = {}
        self._records: dict[TopicPartition, list[Slice]] = {}

    def fetched(self, fetched: ShareFetched) -> None:
        partition = fetched.shared.partition
        key = partition.topic.id, partition.index
        if fetched.error is not None:
            self.failed(key, fetched.error)
        self._records[key] = fetched.records
        told = self._told(key)
        told.current_leader = ShareLeaderIdAndEpoch(
            self._broker.node_id, partition.log.leader_epoch
        )
        told.acquired_records = [AcquiredRecords(*run) for run in fetched.acquired]

    def name_all(self, keys: Iterable[TopicPartition]) -> None:
        for key in keys:
            self._told(key)

    def failed(self, key: TopicPartition, error: RequestError) -> None:
        told = self._told(key)
        told.error_code, told.error_message = error.code, error.message
        ownership = self._broker.ownership
        if error.code is ErrorCode.NOT_LEADER_OR_FOLLOWER and key[0] is not None:
            leader = ownership.node_id_of(ownership.owner_of_partition(key[0], key[1]))
            told.current_leader = ShareLeaderIdAndEpoch(leader, 0)

    def acknowledged(self, key: TopicPartition, error: RequestError | None) -> None:
        told = self._told(key)
        if error is not None:
            told.acknowledge_error_code = error.code
            told.acknowledge_error_message = error.message

    def _told(self, key: TopicPartition) -> ShareFetchResponsePartition:
        told = self._partitions.get(key)
        if told is None:
            told = self._partitions[key] = ShareFetchResponsePartition(
                key[1], current_leader=ShareLeaderIdAndEpoch(self._broker.node_id, 0)
            )
        return told

    def message(self, lock_duration_ms: int) -> WithRecords:
        by_topic: dict[object, ShareFetchResponseTopic] = {}
        for (topic_id, _), told in self._partitions.items():
            topic = by_topic.setdefault(topic_id, ShareFetchResponseTopic(topic_id))
            topic.partitions.append(told)
        records = [
            self._records.get((topic.topic_id, told.partition_index), [])
            for topic in by_topic.values()
            for told in topic.partitions
        ]
        return WithRecords(
            ShareFetchResponse(
                acquisition_lock_timeout_ms=lock_duration_ms, responses=list(by_topic.values())
            ),
            records,
        )

    def release(self) -> None:
        """Nobody will read the records."""
        for pieces in self._records.values():
            for piece in pieces:
                piece.release()


API = Api(
    ApiKey.SHARE_FETCH,
    versions=(1, 2),
    request=ShareFetchRequest,
    handle=handle,
)
