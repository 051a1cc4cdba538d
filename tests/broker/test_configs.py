import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.broker_configs import BROKER_CONFIGS
from headrace.broker.topic_configs import (
    BROKER_NAMES,
    DEAD_LETTERS_ALLOWED,
    TOPIC_CONFIGS,
    TopicConfig,
)
from headrace.log.contract import LogConfig
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k32_describe_configs import ConfigSource


def _refusal(overrides: dict[str, str]) -> str:
    with pytest.raises(RequestError) as caught:
        TopicConfig.of(overrides, {})
    assert caught.value.code == ErrorCode.INVALID_CONFIG
    return caught.value.message


@pytest.mark.parametrize(
    "config", [*TOPIC_CONFIGS.values(), *BROKER_CONFIGS.values()], ids=lambda config: config.name
)
def test_every_default_is_valid_and_every_configuration_documented(config):
    config.parse(config.default)
    assert len(config.doc) > 10


def test_names_are_in_order():
    assert list(TOPIC_CONFIGS) == sorted(TOPIC_CONFIGS)
    assert list(BROKER_CONFIGS) == sorted(BROKER_CONFIGS)


def test_without_overrides_the_log_has_its_own_defaults():
    config = TopicConfig.of({}, {})
    assert config.log == LogConfig()
    assert config.max_message_bytes == 1_048_588


def test_overrides_win_over_the_brokers_defaults():
    config = TopicConfig.of(
        {"retention.ms": "-1", "message.timestamp.type": "LogAppendTime"},
        {"retention.ms": "5", "retention.bytes": "6"},
    )
    assert config.log.retention_ms == -1
    assert config.log.retention_bytes == 6
    assert config.log.append_time


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retention.ms", "-2"),
        ("retention.ms", ""),
        ("retention.ms", "7d"),
        ("retention.ms", "1.5"),
        ("retention.ms", "--5"),
        ("retention.ms", "٣"),
        ("retention.ms", str(2**63)),
        ("retention.ms", "9" * 5000),
        ("segment.bytes", "100"),
        ("segment.bytes", str(2**31)),
        ("segment.ms", "0"),
        ("max.message.bytes", "-1"),
        ("message.timestamp.type", "createtime"),
        ("compression.type", "brotli"),
        ("min.cleanable.dirty.ratio", "1.5"),
        ("min.cleanable.dirty.ratio", "nan"),
        ("headrace.retain", "yes"),
        ("cleanup.policy", "none"),
        ("cleanup.policy", "compact,delet"),
    ],
)
def test_a_bad_value_is_refused_and_named(name, value):
    assert name in _refusal({name: value})


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("delete", (True, False)),
        ("compact", (False, True)),
        ("compact,delete", (True, True)),
        (" delete , compact", (True, True)),
        ("compact,compact", (False, True)),
        ("", (False, False)),
    ],
)
def test_records_go_by_age_by_key_by_both_or_not_at_all(value, meaning):
    log = TopicConfig.of({"cleanup.policy": value}, {}).log
    assert (log.delete, log.compact) == meaning


def test_a_shortest_wait_above_the_longest_is_refused():
    wrong = {"min.compaction.lag.ms": "11", "max.compaction.lag.ms": "10"}
    assert "min.compaction.lag.ms" in _refusal(wrong)


def test_reserved_names_are_refused_as_not_built():
    assert "not built yet" in _refusal({"headrace.group.durable": "true"})


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("retention.msec", "retention.ms"),
        ("max.message.byte", "max.message.bytes"),
        ("headrace.retan", "headrace.retain"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(wrong, right):
    assert f"did you mean {right}?" in _refusal({wrong: "1"})


def test_a_name_like_none_is_refused_without_a_guess():
    assert "did you mean" not in _refusal({"zzzzzz": "1"})


def test_timestamps_may_lie_an_hour_ahead_and_any_time_behind_unless_told_otherwise():
    log = TopicConfig.of({}, {}).log
    assert log.timestamp_after_max_ms == 3_600_000
    assert log.timestamp_before_max_ms == 2**63 - 1
    told = {"message.timestamp.after.max.ms": "5", "message.timestamp.before.max.ms": "6"}
    log = TopicConfig.of(told, {}).log
    assert (log.timestamp_after_max_ms, log.timestamp_before_max_ms) == (5, 6)


def test_configurations_without_effect_say_so():
    assert "no effect" in TOPIC_CONFIGS["flush.ms"].doc
    assert "no effect" not in TOPIC_CONFIGS["retention.ms"].doc


def test_every_topic_configuration_that_has_an_effect_has_a_broker_default():
    effective = {name for name, config in TOPIC_CONFIGS.items() if "no effect" not in config.doc}
    by_the_owner_only = {DEAD_LETTERS_ALLOWED}  # a default for all would say nothing
    assert effective - by_the_owner_only <= set(BROKER_NAMES)


@given(st.sampled_from(sorted(TOPIC_CONFIGS)), st.text(max_size=30))
def test_any_text_is_a_value_or_is_refused(name, value):
    with contextlib.suppress(RequestError):
        TopicConfig.of({name: value}, {})


def _broker_configs(with_topics, body, **static):
    return with_topics(lambda world: body(world.configs), **static)


def test_broker_values_come_from_the_last_word(with_topics):
    async def body(configs):
        assert configs.integer("num.partitions") == 3
        assert configs.entry("num.partitions").source == ConfigSource.STATIC_BROKER
        await configs.alter(lambda c: c | {"num.partitions": "5"})
        entry = configs.entry("num.partitions")
        assert (entry.value, entry.source) == ("5", ConfigSource.DYNAMIC_BROKER)
        assert [synonym.value for synonym in entry.synonyms] == ["5", "3", "1"]

    async def restarted(configs):
        assert configs.integer("num.partitions") == 5
        await configs.alter(lambda c: {})
        assert configs.entry("num.partitions").source == ConfigSource.DEFAULT

    _broker_configs(with_topics, body, broker={"num.partitions": "3"})
    _broker_configs(with_topics, restarted)


def test_a_topics_entry_lists_every_place_that_could_have_set_it(with_topics):
    async def body(configs):
        entry = configs.topic_entry("retention.ms", {"retention.ms": "1"})
        assert [(s.name, s.value, s.source) for s in entry.synonyms] == [
            ("retention.ms", "1", ConfigSource.TOPIC),
            ("log.retention.ms", "2", ConfigSource.STATIC_BROKER),
            ("log.retention.ms", "604800000", ConfigSource.DEFAULT),
        ]
        assert (entry.value, entry.source) == ("1", ConfigSource.TOPIC)
        assert configs.topic_entry("flush.ms", {}).source == ConfigSource.DEFAULT

    _broker_configs(with_topics, body, topic={"retention.ms": "2"})


@pytest.mark.parametrize(
    ("static", "why"),
    [
        ({"broker": {"num.partition": "3"}}, "did you mean num.partitions"),
        ({"broker": {"num.partitions": "0"}}, "num.partitions=0"),
        ({"broker": {"node.id": "3"}}, "follows from the server"),
        ({"topic": {"retention": "3"}}, "did you mean retention.ms"),
        ({"topic": {"retention.ms": "x"}}, "log.retention.ms=x"),
        ({"topic": {"flush.ms": "5"}}, "no effect"),
        (
            {"broker": {"log.retention.ms": "1"}, "topic": {"retention.ms": "2"}},
            "one setting",
        ),
    ],
)
def test_a_bad_static_configuration_is_refused(with_topics, static, why):
    with pytest.raises(RequestError, match=why) as caught:
        _broker_configs(with_topics, None, **static)
    assert caught.value.code == ErrorCode.INVALID_CONFIG


def test_what_is_read_at_the_start_cannot_be_changed_later(with_topics):
    async def body(configs):
        assert configs.integer("group.max.size") == 7
        with pytest.raises(RequestError, match="while the broker runs"):
            await configs.alter(lambda c: {"group.max.size": "8"})

    _broker_configs(with_topics, body, broker={"group.max.size": "7"})


@pytest.mark.parametrize("value", ["", "best", "uniform,uniform", "uniform,,range"])
def test_only_assignors_that_there_are_can_be_offered_each_once(value):
    config = BROKER_CONFIGS["group.consumer.assignors"]
    with pytest.raises(RequestError, match="some of uniform, range, balanced"):
        config.parse(value)
    assert config.parse("balanced, range") == ("balanced", "range")
