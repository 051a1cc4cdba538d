"""headrace capacity."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.housekeeping import INTERVAL_S_MAX
from headrace.broker.topic_configs import TOPIC_CONFIGS
from headrace.cli import capacity_plan
from headrace.cli.capacity_plan import INDEX_SHARE, Terms
from headrace.testing import running_broker
from headrace.testing.raw_client import RawClient
from headrace.wire.records import Record, build_batch

Cli = Any
DAY_S = 24 * 3600
terms_of_all_kinds = st.builds(
    Terms, st.floats(0, 0.9), st.integers(1, 10_000), st.integers(1024, 1 << 30)
)
rates = st.floats(1, 1e10)


@given(st.floats(1e6, 1e16), rates, terms_of_all_kinds)
def test_the_longest_retention_fills_the_disk(disk: float, write: float, terms: Terms) -> None:
    longest_s = terms.retention_s(disk, write)
    if longest_s > 1:
        assert terms.disk_bytes(write, longest_s) == pytest.approx(disk)


@given(st.floats(1e6, 1e16), st.floats(1, 3650 * DAY_S), terms_of_all_kinds)
def test_the_fastest_writing_fills_the_disk(disk: float, retention_s: float, terms: Terms) -> None:
    assert terms.disk_bytes(terms.write(disk, retention_s), retention_s) == pytest.approx(disk)


def test_the_terms_are_those_of_the_broker() -> None:
    assert int(TOPIC_CONFIGS["segment.bytes"].default) == capacity_plan.SEGMENT_BYTES
    assert int(TOPIC_CONFIGS["segment.ms"].default) == capacity_plan.SEGMENT_AGE_S * 1000
    interval = TOPIC_CONFIGS["index.interval.bytes"]
    assert int(interval.default) == capacity_plan.INDEX_INTERVAL_BYTES
    assert INTERVAL_S_MAX == capacity_plan.CHECK_S


def test_a_log_takes_what_was_sent_and_the_index_no_more_than_its_share(tmp_path: Path) -> None:
    batch = build_batch([Record(timestamp_ms=1, value=bytes(1000))])
    with running_broker(str(tmp_path)) as broker:
        broker.create_topic("t")
        with RawClient("127.0.0.1", broker.port) as client:
            for _ in range(2000):
                client.produce("t", 0, batch)
    [log] = tmp_path.glob("topics/*/0/*.log")
    [index] = tmp_path.glob("topics/*/0/*.index")
    assert log.stat().st_size == 2000 * len(batch)
    assert 0 < index.stat().st_size <= INDEX_SHARE * log.stat().st_size + 100


def test_a_disk_that_is_too_small_is_told_with_the_arithmetic(cli: Cli) -> None:
    ran = cli("capacity", "--disk", "6TB", "--write", "150MB/s", "--retention", "7d", code=1)
    assert ran.stderr == (
        "headrace: it does not fit: 150.0 MB/s for 7 d need 113.6 TB, the disk has 6.0 TB\n"
    )
    assert ran.lines == [
        "       90.7 TB  150.0 MB/s for 604,800 s",
        "  x             1 copy (replication factor 1)",
        "  +     9.0 GB  until retention looks again, every 60 s",
        "  +     1.1 GB  whole segments: 1 partition x 1.1 GB, or less",
        "  +   132.9 GB  index, 0.15%",
        "  +    22.7 TB  headroom, 20% of the disk",
        "  =   113.6 TB  needed",
        "",
        "this disk keeps 8 h 51 min at 150.0 MB/s, and for 7 d at most 7.9 MB/s",
        "",
        "Batches lie on the disk once, as they came over the wire; fsync costs time, not space.",
    ]


def test_a_disk_that_is_large_enough_is_no_failure(cli: Cli) -> None:
    ran = cli("capacity", "--disk", "6TB", "--write", "150MB/s", "--retention", "8h")
    assert ran.lines[0] == "it fits: 150.0 MB/s for 8 h need 5.4 TB, the disk has 6.0 TB"


def test_the_third_follows_from_two(cli: Cli) -> None:
    disk = cli("capacity", "--write", "150MB/s", "--retention", "7d", "--json").object
    assert (disk["computed"], disk["fits"]) == ("disk", None)
    assert disk["disk_bytes"] == disk["needed_bytes"] == pytest.approx(113.6e12, rel=1e-3)
    write = cli("capacity", "--disk", "6TB", "--retention", "7d", "--json").object
    assert write["computed"] == "write"
    assert write["write_bytes_per_s"] == pytest.approx(7.92e6, rel=1e-3)
    kept = cli("capacity", "--disk", "6TB", "--write", "150MB/s", "--json").object
    assert kept["computed"] == "retention"
    assert kept["retention_s"] == kept["retention_s_max"] == 31886
    assert cli("capacity", "--disk", "6TB", "--write", "1.2Gbit/s", "--json").object == kept


def test_partitions_segments_and_headroom_count(cli: Cli) -> None:
    asked = ("capacity", "--disk", "1TB", "--write", "10MB/s", "--retention", "20h", "--json")
    assert cli(*asked).object["needed_bytes"] == pytest.approx(0.9027e12, rel=1e-3)
    assert cli(*asked, "--headroom", "0").object["needed_bytes"] < 0.8e12
    many = cli(*asked, "--partitions", "500", code=1).object
    assert many["fits"] is False
    assert many["needed_bytes"] > 1.5e12
    assert cli(*asked, "--partitions", "500", "--segment", "64MiB").object["fits"] is True
    small = cli("capacity", "--disk", "1GB", "--write", "10MB/s", code=1)
    assert "--segment" in small.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--disk", "6TB"), "give two of --disk, --write and --retention"),
        ((), "give two of"),
        (("--disk", "6XB", "--write", "1MB/s"), "--disk: expected a size such as 6TB or 512GiB"),
        (("--disk", "0", "--write", "1MB/s"), "--disk: expected a size"),
        (("--disk", "6TB", "--write", "150MB"), "--write: expected bytes a second such as 150MB/s"),
        (("--disk", "6TB", "--write", "1MB/s/s"), "--write: expected"),
        (("--disk", "6TB", "--retention", "7"), "--retention: expected a duration such as 7d"),
        (("--disk", "6TB", "--retention", "0s"), "--retention: expected"),
    ],
)
def test_what_cannot_be_meant_is_told(cli: Cli, arguments: Any, complaint: str) -> None:
    assert complaint in cli("capacity", *arguments, code=2).stderr
