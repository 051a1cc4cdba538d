"""What a topic keeps, and until when, in words."""

import pytest

from headrace.cli.topic_kept import Rule, SeenTopic, kept_json, kept_lines

DAY_MS = 24 * 3600 * 1000
VOLUME = {"size_bytes": 6e12, "free_bytes": 8.1e11, "written_bytes_per_s": 1.5e8, "lasts_s": 5400}


@pytest.mark.parametrize(
    ("configs", "words"),
    [
        ({}, "every record for ever"),
        ({"retention.ms": "-1", "retention.bytes": "-1"}, "every record for ever"),
        ({"retention.ms": str(7 * DAY_MS)}, "every record for 7 d by its time"),
        ({"retention.bytes": "1000000"}, "every record, at most 1.0 MB a partition"),
        (
            {"retention.ms": "5000", "retention.bytes": "2000"},
            "every record for 5.0 s by its time, at most 2.0 kB a partition",
        ),
        ({"headrace.retain": "true", "retention.ms": "5000"}, "every record for ever"),
        (
            {"cleanup.policy": "compact", "retention.ms": "5000"},
            "the last record of each key for ever",
        ),
        (
            {"cleanup.policy": "compact,delete", "retention.ms": "5000"},
            "the last record of each key for 5.0 s by its time",
        ),
    ],
)
def test_the_rule_is_told_as_it_is_configured(configs: dict[str, str], words: str) -> None:
    assert Rule.of(configs).words == words


def test_what_the_broker_sees_is_told_with_the_time_the_disk_lasts() -> None:
    rule = Rule.of({"retention.ms": str(DAY_MS), "retention.bytes": "10000000"})
    seen = SeenTopic(3, 20_000_000, 1000.0, 1_790_000_000_000, VOLUME)
    assert kept_lines(rule, seen) == [
        "kept: every record for 1 d by its time, at most 10.0 MB a partition",
        "on disk: 20.0 MB, 1.0 kB/s written",
        "oldest record: 2026-09-21T14:13:20Z, kept until 2026-09-22T14:13:20Z or a segment later",
        "at this rate the size allowed is written in 8 h 20 min",
        (
            "volume: 810.0 GB of 6.0 TB free, all topics together: 150.0 MB/s written; the disk "
            "lasts 1 h 30 min if nothing is deleted"
        ),
    ]
    assert kept_json(rule, seen)["kept_until_ms"] == 1_790_000_000_000 + DAY_MS


def test_what_is_not_known_is_not_made_up() -> None:
    for_ever = Rule.of({"headrace.retain": "true"})
    new = SeenTopic(1, 0, None, None, VOLUME | {"written_bytes_per_s": None, "lasts_s": None})
    assert kept_lines(for_ever, new)[1:] == [
        "on disk: 0 B, write rate not known yet",
        "volume: 810.0 GB of 6.0 TB free, all topics together: write rate not known yet",
    ]
    idle = SeenTopic(1, 5, 0.0, -(10**18), VOLUME | {"written_bytes_per_s": 0.0, "lasts_s": None})
    assert kept_lines(for_ever, idle)[1:] == [
        "on disk: 5 B, nothing being written",
        "oldest record: -1000000000000000000 ms",
        "volume: 810.0 GB of 6.0 TB free, all topics together: nothing being written",
    ]
    assert kept_json(for_ever, idle)["kept_until_ms"] is None
