"""Metadata (key 3), versions 0-13.

- every worker is a broker and leads the partitions that it owns; the first one is the controller
- topics by name, from version 10 on also by id; null asks for all, and so does an empty list in
  version 0; from version 1 on an empty list asks for none
- an unknown name is created if the client allows it (always before version 4) and
  auto.create.topics.enable says so; the answer already has the new topic, so nobody has to retry
- an offline partition has no leader: LEADER_NOT_AVAILABLE, as Kafka says it. Producers without a
  key then choose another partition, where a leader that refuses would stop them. Whether another
  worker's partition is offline is not known here
"""

from functools import partial
from typing import Final
from uuid import UUID

from headrace.broker.cluster.ownership import Ownership
from headrace.broker.streams.decisions import DECISIONS_TOPIC
from headrace.broker.topic import Partition, Topic, check_topic_name
from headrace.doors.kafka.acl_operations import CLUSTER_OPERATIONS, TOPIC_OPERATIONS
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.side_by_side import in_turns, side_by_side
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k03_metadata import (
    OPERATIONS_NOT_ASKED,
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)

_INTERNAL: Final = frozenset({"__consumer_offsets", "__transaction_state", DECISIONS_TOPIC})
_NO_LEADER: Final = -1


async def handle(context: RequestContext, request: MetadataRequest) -> MetadataResponse:
    broker = context.broker
    wanted = request.topics
    operations = (
        TOPIC_OPERATIONS if request.include_topic_authorized_operations else OPERATIONS_NOT_ASKED
    )
    if wanted is None or (context.api_version == 0 and not wanted):
        found: list[Topic | MetadataResponseTopic] = list(broker.topics.by_name.values())
    else:
        found = await _find_all(context, wanted, create=request.allow_auto_topic_creation)
    return MetadataResponse(
        brokers=[MetadataResponseBroker(*member) for member in broker.members],
        cluster_id=broker.cluster_id,
        controller_id=broker.ownership.controller_id,
        topics=await in_turns(partial(_describe, broker.ownership, operations), found),
        cluster_authorized_operations=(
            CLUSTER_OPERATIONS
            if request.include_cluster_authorized_operations
            else OPERATIONS_NOT_ASKED
        ),
    )


async def _find_all(
    context: RequestContext, wanted: list[MetadataRequestTopic], *, create: bool
) -> list[Topic | MetadataResponseTopic]:
    """What was asked for, once each and in that order."""
    create = create and context.broker.configs.boolean("auto.create.topics.enable")
    keys = dict.fromkeys((topic.name, topic.topic_id) for topic in wanted)
    found = await in_turns(partial(_find, context, create), keys)
    missing = [topic for topic in found if isinstance(topic, str)]
    answers = await side_by_side(partial(_make, context), missing)
    made = dict(zip(missing, answers, strict=True))
    return [made[topic] if isinstance(topic, str) else topic for topic in found]


def _find(
    context: RequestContext, create: bool, key: tuple[str | None, UUID | None]
) -> Topic | MetadataResponseTopic | str:
    """The topic, the answer in its place, or its name if it is to be created."""
    name, topic_id = key
    topics = context.broker.topics
    try:
        if name is None and topic_id is not None:
            return topics.get_by_id(topic_id)
        check_topic_name(name)
        assert name is not None  # noqa: S101 - what check_topic_name has just refused
        if create and name not in topics.by_name:
            return name
        return topics.get(name)
    except RequestError as error:
        return _refusal(context, error, name, topic_id)


async def _make(context: RequestContext, name: str) -> Topic | MetadataResponseTopic:
    try:
        return await context.broker.topics.ensure(name)
    except RequestError as error:
        return _refusal(context, error, name, None)


def _refusal(
    context: RequestContext, error: RequestError, name: str | None, topic_id: UUID | None
) -> MetadataResponseTopic:
    if name is None and context.api_version < 12:
        name = ""
    return MetadataResponseTopic(error_code=error.code, name=name, topic_id=topic_id)


def _describe(
    ownership: Ownership, operations: int, topic: Topic | MetadataResponseTopic
) -> MetadataResponseTopic:
    if isinstance(topic, MetadataResponseTopic):  # refused
        return topic
    return MetadataResponseTopic(
        name=topic.name,
        topic_id=topic.id,
        is_internal=topic.name in _INTERNAL,
        partitions=[_describe_partition(partition, ownership) for partition in topic.partitions],
        topic_authorized_operations=operations,
    )


def _describe_partition(partition: Partition, ownership: Ownership) -> MetadataResponsePartition:
    node_id = ownership.node_id
    if not partition.is_mine:
        owner = ownership.owner_of_partition(partition.topic.id, partition.index)
        node_id = ownership.node_id_of(owner)
    if partition.is_offline:
        return MetadataResponsePartition(
            error_code=ErrorCode.LEADER_NOT_AVAILABLE,
            partition_index=partition.index,
            leader_id=_NO_LEADER,
            leader_epoch=partition.log.leader_epoch,
            replica_nodes=[node_id],
            offline_replicas=[node_id],
        )
    return MetadataResponsePartition(
        partition_index=partition.index,
        leader_id=node_id,
        leader_epoch=partition.log.leader_epoch,
        replica_nodes=[node_id],
        isr_nodes=[node_id],
    )


API = Api(ApiKey.METADATA, versions=(0, 13), request=MetadataRequest, handle=handle)
