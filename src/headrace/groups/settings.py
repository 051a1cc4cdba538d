"""Every bound and default of group coordination, under Kafka's meaning where Kafka has one."""

from dataclasses import dataclass
from enum import Enum

__all__ = ["GroupSettings", "Migration"]

_MINUTE_MS = 60 * 1000
_DAY_MS = 24 * 60 * _MINUTE_MS


class Migration(Enum):
    """Which groups with members may change their kind; the values are Kafka's names."""

    BIDIRECTIONAL = "bidirectional"
    UPGRADE = "upgrade"
    """A classic group, when a next-generation member joins it."""
    DOWNGRADE = "downgrade"
    """A next-generation group, when only members of the classic protocol are left."""
    DISABLED = "disabled"

    @property
    def upgrades(self) -> bool:
        return self in (Migration.BIDIRECTIONAL, Migration.UPGRADE)

    @property
    def downgrades(self) -> bool:
        return self in (Migration.BIDIRECTIONAL, Migration.DOWNGRADE)


@dataclass(frozen=True, slots=True)
class GroupSettings:
    session_timeout_ms_min: int = 6_000
    """group.min.session.timeout.ms: a client that asks for less gets INVALID_SESSION_TIMEOUT."""
    session_timeout_ms_max: int = 30 * _MINUTE_MS
    """group.max.session.timeout.ms"""
    initial_rebalance_delay_ms: int = 100
    """group.initial.rebalance.delay.ms: how long an empty group waits for more members after each
    one that comes. Kafka's 3,000 suits a data centre that starts a hundred processes; a person who
    starts one consumer waits for nothing, and a program that starts five loses nothing at 100."""
    new_member_join_timeout_ms: int = 5 * _MINUTE_MS
    """A member that was never answered is dropped after this: it may long be gone."""

    consumer_session_timeout_ms: int = 45_000
    """group.consumer.session.timeout.ms: of next-generation groups, where the broker decides."""
    consumer_heartbeat_interval_ms: int = 5_000
    """group.consumer.heartbeat.interval.ms: what their members are told."""
    consumer_assignors: tuple[str, ...] = ("uniform", "range", "balanced")
    """group.consumer.assignors: what members may ask for; the first is for who does not ask."""
    consumer_members_max: int = 10_000
    """group.consumer.max.size: one more gets GROUP_MAX_SIZE_REACHED."""
    consumer_topics_max: int = 10_000
    """Topics that one member of such a group, or of a share group, subscribes to by name."""

    share_session_timeout_ms: int = 45_000
    """group.share.session.timeout.ms: of share groups."""
    share_heartbeat_interval_ms: int = 5_000
    """group.share.heartbeat.interval.ms: what their members are told."""
    share_members_max: int = 200
    """group.share.max.size: one more gets GROUP_MAX_SIZE_REACHED."""

    consumer_migration: Migration = Migration.BIDIRECTIONAL
    """group.consumer.migration.policy"""

    group_members_max: int = 10_000
    """group.max.size: one more gets GROUP_MAX_SIZE_REACHED."""
    pending_members_max: int = 10_000
    """Ids given out per group whose owners have not come back with them yet."""
    groups_max: int = 100_000
    """Groups in memory; one more is refused with GROUP_MAX_SIZE_REACHED."""
    group_id_length_max: int = 255
    instance_id_length_max: int = 249
    member_id_length_max: int = 300
    """Of an id that a member brings; ours are a name of 255 characters and a UUID."""
    client_id_length_max: int = 255
    """Of a client id as kept with a member; the rest is cut off."""
    member_bytes_max: int = 1 << 20
    """All protocols of one member with their metadata; also one member's assignment."""

    offset_metadata_bytes_max: int = 4096
    """offset.metadata.max.bytes: a commit with more gets OFFSET_METADATA_TOO_LARGE."""
    offsets_retention_ms: int = 7 * _DAY_MS
    """offsets.retention.minutes: counted from when the group emptied."""
    offsets_retention_check_ms: int = 10 * _MINUTE_MS
    """offsets.retention.check.interval.ms: between two sweeps for expired offsets."""
