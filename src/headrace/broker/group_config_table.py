"""Every group configuration there is: names, defaults and bounds as Kafka 4.3 documents them, and
those that only Headrace has.

Most numbers have three broker configurations beside them, named after them: `share.x` of a group
that says nothing is `group.share.x`, and what may be said lies between `group.share.min.x` and
`group.share.max.x`.

What must not enter: values that are set (`group_configs`), what they do.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from headrace.broker.configs import Config, boolean, choice, integer, long, text
from headrace.broker.iso_durations import duration_ms
from headrace.wire.messages.k32_describe_configs import ConfigType

__all__ = [
    "BY_DURATION",
    "DEAD_LETTER_COPY",
    "DEAD_LETTER_TOPIC",
    "DURABLE",
    "GROUP_CONFIGS",
    "NUMBERS",
    "RESET_UNTIL_MS",
    "Number",
]

DEAD_LETTER_COPY: Final = "errors.deadletterqueue.copy.record.enable"
DEAD_LETTER_TOPIC: Final = "errors.deadletterqueue.topic.name"
DURABLE: Final = "headrace.group.durable"
RESET_UNTIL_MS: Final = "headrace.group.reset.until.ms"

BY_DURATION: Final = "by_duration:"
"""Begins a share.auto.offset.reset that names an ISO 8601 duration."""


class Number(NamedTuple):
    """A group configuration that the broker has a default and bounds for."""

    name: str
    default: int
    bounds: tuple[int, int]
    """Defaults of the broker's min and max."""
    limits: tuple[int, int]
    """Wherever the broker's bounds are set, they are within these."""
    doc: str
    effect: bool = True

    @property
    def broker_name(self) -> str:
        return f"group.{self.name}"

    @property
    def broker_min(self) -> str:
        return self._bound("min")

    @property
    def broker_max(self) -> str:
        return self._bound("max")

    def _bound(self, which: str) -> str:
        kind, rest = self.name.split(".", 1)
        return f"group.{kind}.{which}.{rest}"


_HOUR_MS: Final = 60 * 60 * 1000

_NUMBERS: Final = (
    Number(
        "consumer.assignment.interval.ms",
        0,
        (0, 15_000),
        (0, 60_000),
        "Time between two assignments of a next-generation consumer group; here each change is "
        "assigned at once.",
        effect=False,
    ),
    Number(
        "consumer.heartbeat.interval.ms",
        5_000,
        (5_000, 15_000),
        (100, 60_000),
        "How often members of a next-generation consumer group are told to report.",
    ),
    Number(
        "consumer.session.timeout.ms",
        45_000,
        (45_000, 60_000),
        (1_000, 1_800_000),
        "After how much silence a member of a next-generation consumer group is given up.",
    ),
    Number(
        "share.assignment.interval.ms",
        0,
        (0, 15_000),
        (0, 60_000),
        "Time between two assignments of a share group; here each change is assigned at once.",
        effect=False,
    ),
    Number(
        "share.delivery.count.limit",
        5,
        (2, 10),
        (2, 25),
        "How often a record is delivered to a share group before it is given up.",
    ),
    Number(
        "share.heartbeat.interval.ms",
        5_000,
        (5_000, 15_000),
        (100, 60_000),
        "How often members of a share group are told to report.",
    ),
    Number(
        "share.partition.max.record.locks",
        2_000,
        (100, 4_000),
        (100, 10_000),
        "Records of one partition that the members of a share group may hold at one time.",
    ),
    Number(
        "share.record.lock.duration.ms",
        30_000,
        (15_000, 60_000),
        (1_000, _HOUR_MS),
        "For how long a member of a share group may hold a record before others may have it.",
    ),
    Number(
        "share.session.timeout.ms",
        45_000,
        (45_000, 60_000),
        (1_000, 1_800_000),
        "After how much silence a member of a share group is given up.",
    ),
)


def _group_number(number: Number) -> Config:
    least, most = number.limits
    return integer(
        number.name, number.default, number.doc, least=least, most=most, effect=number.effect
    )


def _offset_reset() -> Config:
    def read(value: str) -> str:
        if value not in ("earliest", "latest"):
            try:
                duration_ms(value.removeprefix(BY_DURATION))
            except ValueError:
                value = ""
            if not value.startswith(BY_DURATION):
                raise ValueError(f"earliest, latest or {BY_DURATION}PnDTnHnMn.nS")
        return value

    doc = (
        "Where a share group begins in a partition that it never read: earliest, latest, or "
        f"{BY_DURATION} and how long ago, as an ISO 8601 duration."
    )
    return Config("share.auto.offset.reset", ConfigType.STRING, "latest", doc, read)


def _by_name(configs: Iterable[Config]) -> Mapping[str, Config]:
    ordered = sorted(configs, key=lambda config: config.name)
    return MappingProxyType({config.name: config for config in ordered})


NUMBERS: Final[Mapping[str, Number]] = MappingProxyType(
    {number.name: number for number in _NUMBERS}
)

GROUP_CONFIGS: Final = _by_name(
    [
        *map(_group_number, _NUMBERS),
        boolean(
            DEAD_LETTER_COPY,
            False,
            "Whether a record that a share group gives up is copied to the dead-letter topic with "
            "its key, value and headers, or only told of.",
        ),
        text(
            DEAD_LETTER_TOPIC,
            "",
            "The topic that tells of records which a share group gave up, because a consumer "
            "rejected them or their deliveries are used up; none if empty.",
        ),
        boolean(
            DURABLE,
            True,
            "Whether the group's members and committed offsets survive a restart and are kept "
            "when its last member leaves. If false they are in memory only and forgotten then. "
            "It can be changed while there is no such group.",
        ),
        long(
            RESET_UNTIL_MS,
            0,
            "Until this time (milliseconds since 1970) one commit from outside the group is "
            "accepted although it has members: they are fenced, join again and go on from the "
            "offsets that it set.",
        ),
        _offset_reset(),
        choice(
            "share.isolation.level",
            "read_uncommitted",
            "Whether a share group is given records of transactions that have not committed.",
            ("read_committed", "read_uncommitted"),
        ),
        boolean(
            "share.renew.acknowledge.enable",
            True,
            "Whether members of a share group may prolong their hold on a record.",
        ),
    ]
)
