"""What holds for single groups: set for them, else the broker's."""

import asyncio

import pytest

from headrace.broker.broker_configs import BROKER_CONFIGS
from headrace.broker.group_config_table import GROUP_CONFIGS, NUMBERS
from headrace.broker.iso_durations import duration_ms
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k32_describe_configs import ConfigSource

SESSION = "consumer.session.timeout.ms"
HEARTBEAT = "consumer.heartbeat.interval.ms"


async def put(configs, values, group="g"):
    await configs.alter(group, lambda _: values, in_use=False)


def refusal(rows, values, **broker):
    async def body():
        configs = await rows.start(**broker)
        with pytest.raises(RequestError) as refused:
            await put(configs, values)
        assert refused.value.code == ErrorCode.INVALID_CONFIG
        assert rows.of_groups == {}
        return refused.value.message

    return asyncio.run(body())


@pytest.mark.parametrize("config", GROUP_CONFIGS.values(), ids=lambda config: config.name)
def test_every_default_is_valid_and_every_configuration_documented(config):
    config.parse(config.default)
    assert len(config.doc) > 10


@pytest.mark.parametrize("number", NUMBERS.values(), ids=lambda number: number.name)
def test_the_broker_has_a_default_and_bounds_for_each_number(number):
    least, value, most = (
        BROKER_CONFIGS[name].parse(BROKER_CONFIGS[name].default)
        for name in (number.broker_min, number.broker_name, number.broker_max)
    )
    assert least <= value <= most


def test_a_group_has_what_was_set_for_it_and_others_have_what_the_broker_says(config_rows):
    async def body():
        configs = await config_rows.start(group_consumer_session_timeout_ms="46000")
        told = []
        configs.when_changed(told.append)
        await put(configs, {SESSION: "50000"})
        assert (configs.integer("g", SESSION), configs.integer("h", SESSION)) == (50_000, 46_000)
        assert configs.integer("g", HEARTBEAT) == 5_000
        entry = configs.entry("g", SESSION)
        assert (entry.value, entry.source) == ("50000", ConfigSource.GROUP)
        assert [(s.name, s.value, s.source) for s in entry.synonyms] == [
            (SESSION, "50000", ConfigSource.GROUP),
            ("group." + SESSION, "46000", ConfigSource.STATIC_BROKER),
            ("group." + SESSION, "45000", ConfigSource.DEFAULT),
        ]
        assert configs.entry("h", SESSION).source == ConfigSource.STATIC_BROKER
        assert configs.entry("h", HEARTBEAT).source == ConfigSource.DEFAULT
        await put(configs, {})
        assert configs.integer("g", SESSION) == 46_000
        assert told == ["g", "g"]

    asyncio.run(body())


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        (SESSION, "1000", "from 45000 to 60000 (group.consumer.min.session.timeout.ms, "),
        (SESSION, "70000", "from 45000 to 60000"),
        (HEARTBEAT, "20000", "group.consumer.max.heartbeat.interval.ms"),
        (HEARTBEAT, "soon", "a whole number"),
        ("share.delivery.count.limit", "11", "from 2 to 10"),
        ("share.partition.max.record.locks", "5000", "from 100 to 4000"),
        ("share.record.lock.duration.ms", "100", "a whole number from 1000"),
        ("share.record.lock.duration.ms", "1000", "from 15000 to 60000"),
        ("share.isolation.level", "READ", "read_committed or read_uncommitted"),
        ("share.auto.offset.reset", "none", "earliest, latest or by_duration:PnDTnHnMn.nS"),
        ("share.auto.offset.reset", "by_duration:-PT1H", "earliest, latest or"),
        ("share.auto.offset.reset", "PT1H", "earliest, latest or"),
        ("share.renew.acknowledge.enable", "yes", "true or false"),
        ("share.nonsense.ms", "1", "there is no group configuration"),
        ("consumer.session.timeout", "1", "did you mean consumer.session.timeout.ms?"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(config_rows, name, value, reason):
    message = refusal(config_rows, {name: value})
    assert name in message
    assert reason in message


def test_a_member_must_have_time_to_report(config_rows):
    low = {"group_consumer_min_session_timeout_ms": "2000"}
    assert "must be less than" in refusal(config_rows, {SESSION: "4000"}, **low)


def test_bounds_that_moved_since_hold_for_what_was_set_before(config_rows):
    async def body():
        await put(await config_rows.start(), {SESSION: "60000", "of.a.later.version": "1"})

    with pytest.raises(RequestError):
        asyncio.run(body())
    config_rows.of_groups["g"] = {SESSION: "60000", "of.a.later.version": "1"}

    async def later():
        configs = await config_rows.start(group_consumer_max_session_timeout_ms="50000")
        assert configs.integer("g", SESSION) == 50_000
        assert configs.entry("g", SESSION).value == "50000"

    asyncio.run(later())


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("PT1H", 3_600_000),
        ("P1DT2H3M4.5S", 93_784_500),
        ("P2D", 172_800_000),
        ("PT0.0019S", 1),
        ("PT90M", 5_400_000),
    ],
)
def test_durations_are_read_as_iso_8601_has_them(text, duration):
    assert duration_ms(text) == duration


@pytest.mark.parametrize(
    "text",
    ["", "P", "PT", "P1DT", "1H", "PT1H2", "P1Y", "PT-1S", "PT٣S", "PT1.S", "P" + "9" * 80 + "D"],
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="duration"):
        duration_ms(text)
