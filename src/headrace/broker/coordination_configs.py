"""Every broker configuration about groups and transactions: bounds of the classic protocol, what
holds for a next-generation or a share group of which nothing else was set (`group_config_table`),
how long transactions may take.

What must not enter: the values in force (`broker_configs`).
"""

from collections.abc import Iterable
from typing import Final

from headrace.broker.configs import Config, boolean, choice, integer, long
from headrace.broker.group_config_table import NUMBERS, Number
from headrace.groups.assignors import ASSIGNORS
from headrace.groups.settings import GroupSettings, Migration
from headrace.transactions.settings import TransactionSettings
from headrace.wire.messages.k32_describe_configs import ConfigType

__all__ = ["BALANCE_CONFIG", "COORDINATION_CONFIGS", "MIGRATION_CONFIG"]

BALANCE_CONFIG: Final = "headrace.group.balance.interval.ms"
MIGRATION_CONFIG: Final = "group.consumer.migration.policy"

_GROUPS: Final = GroupSettings()
_TRANSACTIONS: Final = TransactionSettings()
_MINUTE_MS: Final = 60_000


def _defaults(number: Number) -> Iterable[Config]:
    least, most = number.limits
    for name, default, doc in (
        (number.broker_name, number.default, number.doc),
        (number.broker_min, number.bounds[0], f"The least that a group may have as {number.name}."),
        (number.broker_max, number.bounds[1], f"The most that a group may have as {number.name}."),
    ):
        yield integer(
            name, default, doc, least=least, most=most, effect=number.effect, read_only=True
        )


def _assignors() -> Config:
    def read(value: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in value.split(","))
        if not set(names) <= ASSIGNORS.keys() or len(set(names)) < len(names):
            raise ValueError(f"some of {', '.join(ASSIGNORS)}, each once")
        return names

    return Config(
        "group.consumer.assignors",
        ConfigType.LIST,
        ",".join(_GROUPS.consumer_assignors),
        "What members of next-generation consumer groups may ask for as group.remote.assignor; "
        "the first is for those who do not ask.",
        read,
        read_only=True,
    )


_OWN: Final = (
    _assignors(),
    integer(
        "group.consumer.max.size",
        _GROUPS.consumer_members_max,
        "Members of one next-generation consumer group.",
        least=1,
        read_only=True,
    ),
    choice(
        MIGRATION_CONFIG,
        _GROUPS.consumer_migration.value,
        "Whether a classic group with members becomes a next-generation one when a next-generation "
        "member joins it (upgrade), and a classic one again when only classic members are left "
        "(downgrade).",
        [policy.value for policy in Migration],
        read_only=True,
    ),
    integer(
        "group.initial.rebalance.delay.ms",
        _GROUPS.initial_rebalance_delay_ms,
        "How long an empty group waits for more members after each one that joins.",
        read_only=True,
    ),
    integer(
        "group.max.session.timeout.ms",
        _GROUPS.session_timeout_ms_max,
        "The longest session timeout that a consumer may ask for.",
        least=1,
        read_only=True,
    ),
    integer(
        "group.max.size",
        _GROUPS.group_members_max,
        "Members of one group.",
        least=1,
        read_only=True,
    ),
    integer(
        "group.min.session.timeout.ms",
        _GROUPS.session_timeout_ms_min,
        "The shortest session timeout that a consumer may ask for.",
        least=1,
        read_only=True,
    ),
    long(
        BALANCE_CONFIG,
        30_000,
        "Time between two looks at what partitions carry, for the assignor balanced: a group is "
        "assigned anew because of it at most this often, and counts loads over four looks.",
        least=100,
        read_only=True,
    ),
    integer(
        "group.share.max.share.sessions",
        2_000,
        "Sessions of share consumers that fetch, on the whole broker.",
        least=1,
        most=100_000,
        read_only=True,
    ),
    integer(
        "group.share.max.size",
        _GROUPS.share_members_max,
        "Members of one share group.",
        least=1,
        most=1_000,
        read_only=True,
    ),
    integer(
        "offset.metadata.max.bytes",
        _GROUPS.offset_metadata_bytes_max,
        "Metadata that may be committed with an offset.",
        read_only=True,
    ),
    integer(
        "offsets.retention.minutes",
        _GROUPS.offsets_retention_ms // _MINUTE_MS,
        "How long the offsets of a group are kept after its last member left.",
        least=1,
        read_only=True,
    ),
    integer(
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        _TRANSACTIONS.timeout_check_ms,
        "Time between two looks for transactions that take too long.",
        least=10,
        read_only=True,
    ),
    integer(
        "transaction.max.timeout.ms",
        _TRANSACTIONS.timeout_ms_max,
        "The longest time that a producer may ask for its transactions to take.",
        least=1,
        read_only=True,
    ),
    boolean(
        "transaction.two.phase.commit.enable",
        False,
        "Whether producers may have transactions without a timeout, which wait for a decision from "
        "outside and hold up readers of committed data until it comes.",
    ),
    long(
        "transactional.id.expiration.ms",
        _TRANSACTIONS.id_expiration_ms,
        "A transactional id that nobody has used for so long is forgotten.",
        least=1,
        read_only=True,
    ),
)

COORDINATION_CONFIGS: Final = (
    *_OWN,
    *(config for number in NUMBERS.values() for config in _defaults(number)),
)
