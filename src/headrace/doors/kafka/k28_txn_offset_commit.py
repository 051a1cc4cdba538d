"""TxnOffsetCommit (key 28), versions 0-5.

- the offsets count when the transaction is committed; until then they are pending, durably
- the group must have been added to the transaction (INVALID_TXN_STATE); v5 adds it (KIP-890)
- v3 for a member of a group: generation and member must be right, as for OffsetCommit; without
  them, in any version, nobody is asked for
- the transaction's coordinator may be another worker; while that one is down for long:
  COORDINATOR_NOT_AVAILABLE, and nothing is pending
- a fenced producer gets INVALID_PRODUCER_EPOCH in every version, and a member of a next-generation
  group with another epoch ILLEGAL_GENERATION, as in Kafka
"""

from typing import Final

from headrace.broker.group_requests import Commit, OffsetToCommit
from headrace.broker.transaction_requests import ProducerIdentity
from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k28_txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)

_ADDS_GROUP_VERSION = 5
_TOLD_AS: Final = {
    ErrorCode.PRODUCER_FENCED: ErrorCode.INVALID_PRODUCER_EPOCH,
    ErrorCode.STALE_MEMBER_EPOCH: ErrorCode.ILLEGAL_GENERATION,
    ErrorCode.BROKER_NOT_AVAILABLE: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NETWORK_EXCEPTION: ErrorCode.COORDINATOR_NOT_AVAILABLE,
}


async def handle(
    context: RequestContext, request: TxnOffsetCommitRequest
) -> TxnOffsetCommitResponse:
    try:
        found = await _commit(context, request)
    except RequestError as error:
        found = [
            error.code
            if context.broker.topics.has_partition(topic.name, partition.partition_index)
            else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            for topic in request.topics
            for partition in topic.partitions
        ]
    codes = iter([_TOLD_AS.get(code, code) for code in found])
    return TxnOffsetCommitResponse(
        topics=[
            TxnOffsetCommitResponseTopic(
                name=topic.name,
                partitions=[
                    TxnOffsetCommitResponsePartition(partition.partition_index, next(codes))
                    for partition in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )


async def _commit(context: RequestContext, request: TxnOffsetCommitRequest) -> list[ErrorCode]:
    broker = context.broker
    producer = ProducerIdentity(request.producer_id, request.producer_epoch)
    broker.groups.check_mine(request.group_id)
    adds = context.api_version >= _ADDS_GROUP_VERSION
    with broker.entries.asking(producer.producer_id, request.group_id) as asking:
        await broker.entries.enter(request.transactional_id, producer, request.group_id, adds=adds)
        if asking.is_void:
            raise RequestError(ErrorCode.CONCURRENT_TRANSACTIONS, "it was ended meanwhile")
    # Nothing may come between the check and the commit: they are one moment of the event loop.
    return await broker.groups.commit(request.group_id, _offsets(request))


def _offsets(request: TxnOffsetCommitRequest) -> Commit:
    return Commit(
        tuple(
            OffsetToCommit(
                topic.name,
                partition.partition_index,
                partition.committed_offset,
                partition.committed_leader_epoch,
                partition.committed_metadata or "",
            )
            for topic in request.topics
            for partition in topic.partitions
        ),
        request.member_id,
        request.generation_id,
        request.group_instance_id,
        producer_id=request.producer_id,
    )


API = Api(ApiKey.TXN_OFFSET_COMMIT, versions=(0, 5), request=TxnOffsetCommitRequest, handle=handle)
