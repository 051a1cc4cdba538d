"""CreateTopics (key 19), versions 2-7.

- topics of one request are created side by side and answered in order; each succeeds or fails alone
- a name that occurs twice in a request is refused with INVALID_REQUEST and not created
- `timeout_ms` is not needed: the answer comes when the topic is on the disk
"""

from collections import Counter
from collections.abc import Awaitable

from headrace.broker.admin_topics import (
    REPLICATION_FACTOR,
    NewTopic,
    PlannedTopic,
    create_topic,
)
from headrace.broker.topic_configs import TOPIC_CONFIGS
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.side_by_side import side_by_side
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k19_create_topics import (
    CreatableTopic,
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)


async def handle(context: RequestContext, request: CreateTopicsRequest) -> CreateTopicsResponse:
    wanted = {topic.name: topic for topic in request.topics}
    times = Counter(topic.name for topic in request.topics)

    def create(topic: CreatableTopic) -> Awaitable[CreatableTopicResult]:
        twice = times[topic.name] > 1
        return _create(context, topic, twice=twice, validate_only=request.validate_only)

    return CreateTopicsResponse(topics=await side_by_side(create, wanted.values()))


async def _create(
    context: RequestContext, topic: CreatableTopic, *, twice: bool, validate_only: bool
) -> CreatableTopicResult:
    wanted = NewTopic(
        topic.name,
        topic.num_partitions,
        topic.replication_factor,
        [(partition.partition_index, partition.broker_ids) for partition in topic.assignments],
        [(config.name, config.value) for config in topic.configs],
    )
    try:
        if twice:
            raise RequestError(ErrorCode.INVALID_REQUEST, f"topic {topic.name!r} is named twice")
        planned = await create_topic(context.broker, wanted, validate_only=validate_only)
    except RequestError as error:
        return CreatableTopicResult(
            name=topic.name, error_code=error.code, error_message=error.message, configs=None
        )
    return CreatableTopicResult(
        name=topic.name,
        topic_id=planned.topic_id,
        error_message=None,
        num_partitions=planned.partition_count,
        replication_factor=REPLICATION_FACTOR,
        configs=_configs(context, planned),
    )


def _configs(context: RequestContext, planned: PlannedTopic) -> list[CreatableTopicConfigs]:
    """Every configuration in force, which clients get from version 5 on."""
    entries = (
        context.broker.configs.topic_entry(name, planned.overrides) for name in TOPIC_CONFIGS
    )
    return [
        CreatableTopicConfigs(
            name=entry.config.name,
            value=entry.value,
            read_only=entry.config.read_only,
            config_source=entry.source,
        )
        for entry in entries
    ]


API = Api(ApiKey.CREATE_TOPICS, versions=(2, 7), request=CreateTopicsRequest, handle=handle)
