"""Which topics may take dead letters, and how one comes to be (KIP-1191).

Producers of a share group's topic write to its dead-letter topic in a roundabout way: whoever
writes what nobody can digest. So a topic takes part only where its owner says so
(`errors.deadletterqueue.group.enable`), its name begins as the broker asks
(`errors.deadletterqueue.topic.name.prefix`), and the broker's own topics never do.

What must not enter: records.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from headrace.broker.broker_configs import DEAD_LETTER_AUTO_CREATE, DEAD_LETTER_PREFIX
from headrace.broker.configs import invalid
from headrace.broker.group_config_table import DEAD_LETTER_TOPIC
from headrace.broker.topic import check_topic_name
from headrace.broker.topic_configs import DEAD_LETTERS_ALLOWED
from headrace.wire.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from headrace.broker.broker import Broker
    from headrace.broker.topics import Topic

__all__ = [
    "NoDeadLetterTopic",
    "check_dead_letter_configs",
    "check_dead_letter_topic",
    "dead_letter_topic",
]

_INTERNAL = "__"


class NoDeadLetterTopic(Exception):
    """Dead letters cannot go there: `cause` in one word that can be counted, and for a person."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


def check_dead_letter_topic(broker: "Broker", name: str) -> None:
    """Whether a group may name this topic, as things are now. Raises NoDeadLetterTopic."""
    prefix = broker.configs.text(DEAD_LETTER_PREFIX)
    try:
        check_topic_name(name)
    except RequestError as error:
        raise NoDeadLetterTopic("name", error.message) from None
    if name.startswith(_INTERNAL):
        raise NoDeadLetterTopic("name", f"{name!r} is internal: it begins with {_INTERNAL}")
    if not name.startswith(prefix):
        raise NoDeadLetterTopic(
            "name", f"{name!r} does not begin with {prefix!r} ({DEAD_LETTER_PREFIX})"
        )
    topic = broker.topics.by_name.get(name)
    if topic is not None and not topic.config.dead_letters_allowed:
        raise NoDeadLetterTopic(
            "not_enabled", f"topic {name!r} takes none: {DEAD_LETTERS_ALLOWED} is false"
        )
    if topic is None and not broker.configs.boolean(DEAD_LETTER_AUTO_CREATE):
        raise NoDeadLetterTopic(
            "no_topic",
            f"topic {name!r} does not exist; create it with {DEAD_LETTERS_ALLOWED}=true",
        )


def check_dead_letter_configs(
    broker: "Broker", before: Mapping[str, str], after: Mapping[str, str]
) -> None:
    """Whether what is set for a group may become `after`; a topic that was named before may stay,
    whatever has become of it. Raises RequestError INVALID_CONFIG."""
    name = after.get(DEAD_LETTER_TOPIC, "").strip()
    if name and name != before.get(DEAD_LETTER_TOPIC, "").strip():
        try:
            check_dead_letter_topic(broker, name)
        except NoDeadLetterTopic as error:
            raise invalid(f"{DEAD_LETTER_TOPIC}: {error}") from None


async def dead_letter_topic(broker: "Broker", name: str, source: str) -> "Topic":
    """The topic for what is given up of the topic `source`, created if need be and allowed.

    Raises NoDeadLetterTopic, RequestError: what `Topics.create` raises.
    """
    if name == source:
        raise NoDeadLetterTopic("source", f"{name!r} is what the group reads: it would never end")
    check_dead_letter_topic(broker, name)
    topic = broker.topics.by_name.get(name)
    if topic is None:
        try:
            partition_count = broker.configs.integer("num.partitions")
            return await broker.topics.create(name, partition_count, {DEAD_LETTERS_ALLOWED: "true"})
        except RequestError as error:
            if error.code != ErrorCode.TOPIC_ALREADY_EXISTS:
                raise
            await broker.topics.reload()  # it may be another worker who was quicker
        check_dead_letter_topic(broker, name)
        topic = broker.topics.get(name)
    return topic
