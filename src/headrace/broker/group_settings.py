"""What the configurations come to for groups: the settings of the broker, and of a single group
where something else was set for it.

What must not enter: configurations themselves (`broker_configs`, `group_configs`).
"""

from dataclasses import replace
from typing import Any, Final

from headrace.broker.broker_configs import BrokerConfigs
from headrace.broker.coordination_configs import MIGRATION_CONFIG
from headrace.broker.group_configs import GroupConfigs
from headrace.groups.settings import GroupSettings, Migration

__all__ = ["broker_settings", "settings_of"]

_OF_ONE_GROUP: Final = {
    "consumer_heartbeat_interval_ms": "consumer.heartbeat.interval.ms",
    "consumer_session_timeout_ms": "consumer.session.timeout.ms",
    "share_heartbeat_interval_ms": "share.heartbeat.interval.ms",
    "share_session_timeout_ms": "share.session.timeout.ms",
}
"""Group configurations by the setting that they are."""


def broker_settings(configs: BrokerConfigs) -> GroupSettings:
    """Those of every group for which nothing was set."""
    return GroupSettings(
        session_timeout_ms_min=configs.integer("group.min.session.timeout.ms"),
        session_timeout_ms_max=configs.integer("group.max.session.timeout.ms"),
        initial_rebalance_delay_ms=configs.integer("group.initial.rebalance.delay.ms"),
        consumer_session_timeout_ms=configs.integer("group.consumer.session.timeout.ms"),
        consumer_heartbeat_interval_ms=configs.integer("group.consumer.heartbeat.interval.ms"),
        consumer_assignors=tuple(configs.items("group.consumer.assignors")),
        consumer_migration=Migration(configs.text(MIGRATION_CONFIG)),
        consumer_members_max=configs.integer("group.consumer.max.size"),
        share_session_timeout_ms=configs.integer("group.share.session.timeout.ms"),
        share_heartbeat_interval_ms=configs.integer("group.share.heartbeat.interval.ms"),
        share_members_max=configs.integer("group.share.max.size"),
        group_members_max=configs.integer("group.max.size"),
        offset_metadata_bytes_max=configs.integer("offset.metadata.max.bytes"),
        offsets_retention_ms=configs.integer("offsets.retention.minutes") * 60_000,
    )


def settings_of(
    group_id: str, group_configs: GroupConfigs, broker_settings: GroupSettings
) -> GroupSettings:
    """As they are now; a group of which nothing was set shares the broker's."""
    own: dict[str, Any] = {
        setting: group_configs.integer(group_id, name)
        for setting, name in _OF_ONE_GROUP.items()
        if group_configs.is_set(group_id, name)
    }
    return replace(broker_settings, **own) if own else broker_settings
