"""ShareAcknowledge (key 79), versions 1-2: what a member did with its records (KIP-932).

- all acknowledgements of a partition or none: INVALID_RECORD_STATE for what the member does not
  hold, INVALID_REQUEST for ranges that are none
- accepted is accepted: the answer leaves when it is durable
- needs an open share session, of which it counts up the epoch; -1 closes it afterwards
- v2 renewing locks (KIP-1222)
"""

from headrace.broker.share.sessions import CLOSING, OPENING
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.share_acknowledging import acknowledge, outcomes
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k78_share_fetch import ShareLeaderIdAndEpoch
from headrace.wire.messages.k79_share_acknowledge import (
    ShareAcknowledgeRequest,
    ShareAcknowledgeResponse,
    ShareAcknowledgeResponsePartition,
    ShareAcknowledgeResponseTopic,
)


async def handle(
    context: RequestContext, request: ShareAcknowledgeRequest
) -> ShareAcknowledgeResponse:
    share = context.broker.share
    epoch = request.share_session_epoch
    try:
        if epoch == OPENING:
            raise RequestError(
                ErrorCode.INVALID_SHARE_SESSION_EPOCH, "only ShareFetch opens a share session"
            )
        session = share.session(request.group_id, request.member_id, epoch, context.connection_id)
    except RequestError as error:
        return ShareAcknowledgeResponse(error_code=error.code, error_message=error.message)
    under_way = acknowledge(share, session, request.topics, renews=request.is_renew_ack)
    if epoch == CLOSING:
        share.close_session(session)
    found = await outcomes(under_way)
    leader = ShareLeaderIdAndEpoch(context.broker.node_id, 0)
    response = ShareAcknowledgeResponse(
        acquisition_lock_timeout_ms=share.settings(session.group_id).lock_duration_ms
    )
    for topic in request.topics:
        told = []
        for partition in topic.partitions:
            refused = found.get((topic.topic_id, partition.partition_index))
            part = ShareAcknowledgeResponsePartition(
                partition.partition_index, current_leader=leader
            )
            if refused is not None:
                part.error_code, part.error_message = refused.code, refused.message
            told.append(part)
        response.responses.append(ShareAcknowledgeResponseTopic(topic.topic_id, told))
    return response


API = Api(
    ApiKey.SHARE_ACKNOWLEDGE,
    versions=(1, 2),
    request=ShareAcknowledgeRequest,
    handle=handle,
)
