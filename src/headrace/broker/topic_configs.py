"""Every topic configuration: Kafka's names and meanings, and Headrace's own `headrace.*`.

A topic's configuration is the texts that were set on it (its overrides) over the broker's
defaults; `TopicConfig` is the typed view that the rest of the broker uses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from headrace.broker.configs import (
    INT64_MAX,
    Config,
    boolean,
    choice,
    choices,
    decimal,
    integer,
    invalid,
    long,
    lookup,
    text,
)
from headrace.broker.elastic_configs import CLOSE_GRACE, ELASTIC_CONFIGS, elastic_rule
from headrace.broker.streams.router import ElasticRule
from headrace.log.contract import LogConfig
from headrace.wire.messages.k32_describe_configs import ConfigType

__all__ = [
    "BROKER_NAMES",
    "DEAD_LETTERS_ALLOWED",
    "TOPIC_CONFIGS",
    "TopicConfig",
    "check_overrides",
]

_LOG: Final = LogConfig()

DEAD_LETTERS_ALLOWED: Final = "errors.deadletterqueue.group.enable"

SEGMENT_BYTES_MIN: Final = 1024
"""Kafka asks for 1 MiB; small segments are cheap here and make retention testable."""

_COMPRESSIONS: Final = ("producer", "uncompressed", "gzip", "snappy", "lz4", "zstd")

_ALL: Final = (
    choices(
        "cleanup.policy",
        "delete",
        "How old records go: delete removes whole segments by time and size; compact keeps the "
        "latest record of each key and takes no records without one. Both: whichever comes first. "
        "Neither: everything stays.",
        ("compact", "delete"),
    ),
    integer("compression.gzip.level", -1, "Level of gzip.", least=-1, most=9, effect=False),
    integer("compression.lz4.level", 9, "Level of lz4.", least=1, most=17, effect=False),
    choice(
        "compression.type",
        "producer",
        "Batches are kept as their producer compressed them, whatever this says.",
        _COMPRESSIONS,
        effect=False,
    ),
    integer("compression.zstd.level", 3, "Level of zstd.", least=-131072, most=22, effect=False),
    long(
        "delete.retention.ms",
        _LOG.delete_retention_ms,
        "How long compaction keeps a tombstone (a record without a value) after what it deletes "
        "is gone: a reader must get from the start to the end in this time to see every deletion.",
    ),
    boolean(
        DEAD_LETTERS_ALLOWED,
        False,
        "Whether share groups may have their dead letters written to this topic.",
    ),
    long("file.delete.delay.ms", 60_000, "Wait before files are deleted.", effect=False),
    long(
        "flush.messages",
        INT64_MAX,
        "Messages between fsyncs; the broker's durability decides instead.",
        least=1,
        effect=False,
    ),
    long(
        "flush.ms",
        INT64_MAX,
        "Time between fsyncs; the broker's durability decides instead.",
        effect=False,
    ),
    text(
        "follower.replication.throttled.replicas",
        "",
        "Throttled followers.",
        effect=False,
        kind=ConfigType.LIST,
    ),
    text(
        "headrace.ingest.dead.letter.topic",
        "",
        "Where records go that ingest streams bring and headrace.ingest.validation refuses; empty: "
        "a bad record ends its stream. The rules of errors.deadletterqueue.* hold for it.",
    ),
    boolean(
        "headrace.ingest.validation",
        False,
        "Whether records of ingest streams are looked at: JSON must parse, protobuf must fit the "
        "stream's descriptor.",
    ),
    boolean(
        "headrace.retain",
        False,
        "Keep everything for ever, whatever retention.ms and retention.bytes say.",
    ),
    integer(
        "index.interval.bytes",
        _LOG.index_interval_bytes,
        "Bytes of log between two entries of its sparse index.",
    ),
    text(
        "leader.replication.throttled.replicas",
        "",
        "Throttled leaders.",
        effect=False,
        kind=ConfigType.LIST,
    ),
    long("local.retention.bytes", -2, "Tiered storage.", least=-2, effect=False),
    long("local.retention.ms", -2, "Tiered storage.", least=-2, effect=False),
    long(
        "max.compaction.lag.ms",
        _LOG.compaction_lag_ms_max,
        "Compact when records have waited for so long, whatever min.cleanable.dirty.ratio.",
        least=1,
    ),
    integer(
        "max.message.bytes",
        1_048_588,
        "The largest record batch that is accepted, as it comes over the wire (compressed).",
    ),
    long(
        "message.timestamp.after.max.ms",
        _LOG.timestamp_after_max_ms,
        "How far a batch's greatest timestamp may be ahead of the broker's clock. Retention goes "
        "by timestamps: records from the future would stay.",
    ),
    long(
        "message.timestamp.before.max.ms",
        _LOG.timestamp_before_max_ms,
        "How far a batch's first timestamp may be behind the broker's clock.",
    ),
    choice(
        "message.timestamp.type",
        "CreateTime",
        "Whether records keep their producer's timestamp or get the time of the append.",
        ("CreateTime", "LogAppendTime"),
    ),
    decimal(
        "min.cleanable.dirty.ratio",
        _LOG.dirty_ratio_min,
        "Compact when more than this part of the log, without the segment that is written, has "
        "never been.",
        least=0.0,
        most=1.0,
    ),
    long(
        "min.compaction.lag.ms",
        _LOG.compaction_lag_ms_min,
        "Records younger than this are not compacted.",
    ),
    integer(
        "min.insync.replicas",
        1,
        "Replicas that must have a record before it is acknowledged; there is one.",
        least=1,
        effect=False,
    ),
    boolean("preallocate", False, "Create segments at full size.", effect=False),
    choice(
        "remote.storage.enable",
        "false",
        "Tiered storage.",
        ("false",),
        later={"true": "tiered storage is not built"},
        effect=False,
        kind=ConfigType.BOOLEAN,
    ),
    long(
        "retention.bytes",
        _LOG.retention_bytes,
        "Bytes to keep in each partition before the oldest segments are deleted; -1: no limit.",
        least=-1,
    ),
    long(
        "retention.ms",
        _LOG.retention_ms,
        "How long records are kept, by their timestamps; -1: for ever.",
        least=-1,
    ),
    integer(
        "segment.bytes",
        _LOG.segment_bytes,
        "Size at which a new segment file is begun. Retention deletes whole segments.",
        least=SEGMENT_BYTES_MIN,
    ),
    integer("segment.index.bytes", 10 << 20, "Size of an index.", least=4, effect=False),
    long("segment.jitter.ms", 0, "Spread of segment.ms.", effect=False),
    long(
        "segment.ms",
        _LOG.segment_age_ms,
        "Age at which a new segment file is begun even if this one is not full.",
        least=1,
    ),
    boolean("unclean.leader.election.enable", False, "Elect replicas that lag.", effect=False),
    *ELASTIC_CONFIGS,
)

TOPIC_CONFIGS: Final[dict[str, Config]] = {
    config.name: config for config in sorted(_ALL, key=lambda config: config.name)
}

_DEFAULTS: Final = {config.name: config.read(config.default) for config in _ALL}

_RESERVED: Final = frozenset({"headrace.group.durable"})

BROKER_NAMES: Final = {
    "cleanup.policy": "log.cleanup.policy",
    "compression.type": "compression.type",
    "delete.retention.ms": "log.cleaner.delete.retention.ms",
    "index.interval.bytes": "log.index.interval.bytes",
    "max.compaction.lag.ms": "log.cleaner.max.compaction.lag.ms",
    "max.message.bytes": "message.max.bytes",
    "message.timestamp.after.max.ms": "log.message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms": "log.message.timestamp.before.max.ms",
    "message.timestamp.type": "log.message.timestamp.type",
    "min.cleanable.dirty.ratio": "log.cleaner.min.cleanable.ratio",
    "min.compaction.lag.ms": "log.cleaner.min.compaction.lag.ms",
    "min.insync.replicas": "min.insync.replicas",
    "retention.bytes": "log.retention.bytes",
    "retention.ms": "log.retention.ms",
    "segment.bytes": "log.segment.bytes",
    "segment.ms": "log.roll.ms",
    "headrace.ingest.dead.letter.topic": "headrace.ingest.dead.letter.topic",
    "headrace.ingest.validation": "headrace.ingest.validation",
    "headrace.retain": "headrace.retain",
    **{config.name: config.name for config in ELASTIC_CONFIGS},
}
"""Under which name the broker keeps the default of a topic configuration."""


def check_overrides(overrides: Mapping[str, str]) -> dict[str, Any]:
    """The parsed values. Raises RequestError INVALID_CONFIG for the first that is not one."""
    for name in overrides:
        if name in _RESERVED:
            raise invalid(f"{name} is reserved for something that is not built yet")
    return {
        name: lookup(TOPIC_CONFIGS, name, "topic").parse(value) for name, value in overrides.items()
    }


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """What a topic's configuration means; immutable, replaced whole when something changes."""

    overrides: Mapping[str, str]
    """What was set on the topic itself, as texts."""
    max_message_bytes: int
    log: LogConfig
    dead_letters_allowed: bool = False
    elastic: ElasticRule | None = None
    close_grace_ms: int = 30_000
    """Of ingest streams that are asked to close."""
    ingest_validation: bool = False
    ingest_dead_letter_topic: str = ""

    @classmethod
    def of(cls, overrides: Mapping[str, str], defaults: Mapping[str, str]) -> "TopicConfig":
        """`defaults` are the broker's texts for some or all of TOPIC_CONFIGS.

        Raises RequestError INVALID_CONFIG.
        """
        values = _DEFAULTS | check_overrides(defaults) | check_overrides(overrides)
        if values["min.compaction.lag.ms"] > values["max.compaction.lag.ms"]:
            raise invalid("min.compaction.lag.ms must not be above max.compaction.lag.ms")
        log = LogConfig(
            segment_bytes=values["segment.bytes"],
            segment_age_ms=values["segment.ms"],
            retention_ms=values["retention.ms"],
            retention_bytes=values["retention.bytes"],
            retain=values["headrace.retain"],
            delete="delete" in values["cleanup.policy"],
            compact="compact" in values["cleanup.policy"],
            dirty_ratio_min=values["min.cleanable.dirty.ratio"],
            compaction_lag_ms_min=values["min.compaction.lag.ms"],
            compaction_lag_ms_max=values["max.compaction.lag.ms"],
            delete_retention_ms=values["delete.retention.ms"],
            append_time=values["message.timestamp.type"] == "LogAppendTime",
            timestamp_before_max_ms=values["message.timestamp.before.max.ms"],
            timestamp_after_max_ms=values["message.timestamp.after.max.ms"],
            index_interval_bytes=values["index.interval.bytes"],
        )
        return cls(
            *(dict(overrides), values["max.message.bytes"], log, values[DEAD_LETTERS_ALLOWED]),
            *(elastic_rule(values), values[CLOSE_GRACE]),
            ingest_validation=values["headrace.ingest.validation"],
            ingest_dead_letter_topic=values["headrace.ingest.dead.letter.topic"],
        )
