import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.catalog.catalog import Catalog
from headrace.catalog.groups import GroupRow
from headrace.catalog.share_partitions import SharePartitionRow
from headrace.catalog.topics import TopicRow
from headrace.catalog.writer import Outdated
from headrace.wire.errors import ErrorCode, RequestError


def _topic(name: str, **configs: str) -> TopicRow:
    return TopicRow(uuid4(), name, 3, 1_700_000_000_000, configs)


def test_topics_come_back_with_their_overrides(with_catalog):
    topics = [_topic("a", **{"retention.ms": "5"}), _topic("b")]

    async def write(catalog: Catalog) -> None:
        for topic in topics:
            await catalog.topics.insert(topic)
        await catalog.topics.set_partition_count(topics[1].id, 9, before=topics[1].partition_count)
        await catalog.topics.replace_configs(
            topics[0].id, {"segment.ms": "7"}, before=topics[0].configs
        )

    with_catalog(write)
    topics[1].partition_count = 9
    topics[0].configs = {"segment.ms": "7"}
    assert with_catalog(lambda catalog: catalog.topics.load_all()) == topics


def test_a_name_exists_once(with_catalog):
    async def body(catalog: Catalog) -> None:
        await catalog.topics.insert(_topic("a"))
        with pytest.raises(RequestError) as caught:
            await catalog.topics.insert(_topic("a"))
        assert caught.value.code == ErrorCode.TOPIC_ALREADY_EXISTS

    with_catalog(body)


def test_deleting_a_topic_takes_its_overrides_and_offsets_along(with_catalog):
    async def body(catalog: Catalog) -> None:
        gone, kept = _topic("gone", **{"segment.ms": "7"}), _topic("kept")
        await catalog.topics.insert(gone)
        await catalog.topics.insert(kept)
        for topic in ("gone", "kept"):
            await catalog.offsets.commit("g", [(topic, 0, 5, -1, "")], 1)
        await catalog.topics.delete(gone.id, gone.name)
        assert await catalog.topics.load_all() == [kept]
        assert [row.topic for row in await catalog.offsets.load_all()] == ["kept"]
        await catalog.topics.insert(_topic("gone"))
        assert (await catalog.topics.load_all())[0].configs == {}

    with_catalog(body)


def test_offsets_are_replaced_and_deleted_by_pair_by_topic_and_by_group(with_catalog):
    async def body(catalog: Catalog) -> None:
        offsets = catalog.offsets
        await offsets.commit("g", [("t", 0, 1, 0, ""), ("t", 1, 1, 0, ""), ("u", 0, 1, 0, "")], 1)
        await offsets.commit("h", [("t", 0, 1, 0, "")], 1)
        await offsets.commit("g", [("t", 1, 7, 3, "note")], 2)
        assert ("g", "t", 1, 7, 3, "note", 2) in await offsets.load_all()
        await offsets.delete("g", [("t", 0), ("t", 99)])
        assert [row[:3] for row in await offsets.load_all()] == [
            ("g", "t", 1),
            ("g", "u", 0),
            ("h", "t", 0),
        ]
        await offsets.delete_topic("t")
        assert [row[:3] for row in await offsets.load_all()] == [("g", "u", 0)]
        await offsets.delete("g")
        assert await offsets.load_all() == []

    with_catalog(body)


def test_groups_are_replaced_and_leave_with_their_offsets(with_catalog):
    async def body(catalog: Catalog) -> None:
        group = GroupRow("g", "consumer", 1, "range", "m-1", b"\x00\xff", None)
        await catalog.groups.save(group)
        group.generation, group.emptied_ms = 2, 77
        await catalog.groups.save(group)
        await catalog.offsets.commit("g", [("t", 0, 1, 0, "")], 1)
        assert await catalog.groups.load_all() == [group]
        await catalog.groups.delete("g")
        assert await catalog.groups.load_all() == []
        assert await catalog.offsets.load_all() == []

    with_catalog(body)


def test_broker_configs_are_replaced_as_a_whole(with_catalog):
    async def body(catalog: Catalog) -> None:
        await catalog.configs.replace_all({"a": "1", "b": "2"}, before={})
        await catalog.configs.replace_all({"b": "3"}, before={"a": "1", "b": "2"})

    with_catalog(body)
    assert with_catalog(lambda catalog: catalog.configs.load_all()) == {"b": "3"}


def test_producer_id_blocks_never_overlap(with_catalog):
    async def body(catalog: Catalog) -> list[int]:
        return await asyncio.gather(*(catalog.producer_ids.reserve(10) for _ in range(20)))

    firsts = [*with_catalog(body), *with_catalog(body)]
    assert sorted(firsts) == list(range(0, 400, 10))


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    st.lists(
        st.tuples(
            _text,
            st.integers(0, 2**31 - 1),
            st.integers(-1, 2**63 - 1),
            st.integers(-1, 2**31 - 1),
            _text,
        ),
        max_size=20,
        unique_by=lambda row: row[:2],
    )
)
@settings(max_examples=25, deadline=None)
def test_any_offset_comes_back_as_it_was(tmp_path_factory, rows):
    async def body() -> None:
        catalog = await Catalog.open(str(tmp_path_factory.mktemp("catalog")))
        await catalog.offsets.commit("g", rows, 1)
        loaded = await catalog.offsets.load_all()
        assert sorted(row[1:6] for row in loaded) == sorted(rows)
        await catalog.close()

    asyncio.run(body())


_COMMITTER = """
import asyncio, sys
from headrace.catalog.catalog import Catalog

async def main():
    catalog = await Catalog.open(sys.argv[1])
    offset = 0
    while True:
        offset += 1
        await catalog.offsets.commit("g", [("t", 0, offset, -1, "")], 1)
        print(offset, flush=True)

asyncio.run(main())
"""


def test_what_was_committed_survives_sigkill(tmp_path: Path, with_catalog):
    acknowledged = 0
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", _COMMITTER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                acknowledged = int(line)
                if acknowledged >= 50:
                    break
            os.kill(process.pid, signal.SIGKILL)
            acknowledged = int((process.stdout.read().split() or [acknowledged])[-1])
        (row,) = with_catalog(lambda catalog: catalog.offsets.load_all())
        assert row.offset >= acknowledged


def test_share_partitions_go_with_their_topic_and_with_their_group(with_catalog):
    async def body(catalog: Catalog) -> None:
        gone, kept = _topic("gone"), _topic("kept")
        for topic in (gone, kept):
            await catalog.topics.insert(topic)
        rows = [
            SharePartitionRow(group, topic.id, 1, 7, 2, "[[3,0,1]]")
            for group in ("g", "h")
            for topic in (gone, kept)
        ]
        for row in rows:
            await catalog.share_partitions.save(SharePartitionRow(*(astuple(row)[:3]), 0, 0, "[]"))
            await catalog.share_partitions.save(row)
        by_key = lambda row: (row.group_id, row.topic_id.hex)  # noqa: E731
        assert await catalog.share_partitions.load_all() == sorted(rows, key=by_key)
        await catalog.topics.delete(gone.id, gone.name)
        await catalog.share_partitions.save(rows[0])
        assert await catalog.share_partitions.load_all() == [rows[1], rows[3]]
        await catalog.groups.delete("g")
        assert await catalog.share_partitions.load_all() == [rows[3]]
        await catalog.share_partitions.delete("h", [kept.id])
        assert await catalog.share_partitions.load_all() == []

    with_catalog(body)


def test_who_began_with_what_another_changed_changes_nothing(with_catalog):
    async def body(catalog: Catalog) -> None:
        topic = _topic("t", **{"segment.ms": "7"})
        topics, configs, groups = catalog.topics, catalog.configs, catalog.group_configs
        await topics.insert(topic)
        await configs.replace_all({"a": "1"}, before={})
        await groups.replace("g", {"a": "1"}, before={})
        for late in (
            topics.set_partition_count(topic.id, 9, before=2),
            topics.set_partition_count(uuid4(), 9, before=3),
            topics.replace_configs(topic.id, {}, before={}),
            topics.replace_configs(uuid4(), {}, before={}),
            configs.replace_all({}, before={}),
            groups.replace("g", {}, before={}),
        ):
            with pytest.raises(Outdated):
                await late
        assert await topics.load(topic.id) == topic
        assert await configs.load_all() == {"a": "1"}
        assert await groups.load_all() == {"g": {"a": "1"}}

    with_catalog(body)


def test_only_one_deletes_a_topic_and_a_new_one_of_its_name_keeps_its_offsets(with_catalog):
    async def body(catalog: Catalog) -> None:
        old, new = _topic("t"), _topic("t")
        await catalog.topics.insert(old)
        assert await catalog.topics.delete(old.id, "t")
        await catalog.topics.insert(new)
        await catalog.offsets.commit("g", [("t", 0, 5, -1, "")], 1)
        assert not await catalog.topics.delete(old.id, "t")
        assert len(await catalog.offsets.load_all()) == 1
        assert await catalog.topics.load(old.id) is None

    with_catalog(body)
