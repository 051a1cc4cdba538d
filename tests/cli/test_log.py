"""`headrace log`: data directories that no broker holds."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from headrace.testing import running_broker
from headrace.testing.raw_client import RawClient, batch


@pytest.fixture
def run() -> Any:
    """Like `cli`, without a broker."""
    from headrace.cli.app import app

    def run(*arguments: str, code: int = 0) -> Any:
        result = CliRunner().invoke(app, ["log", *arguments])
        assert result.exit_code == code, f"{arguments} -> {result.output}\n{result.exception!r}"
        if code:
            assert result.stderr.startswith("headrace: ")
        return result

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Topics `t` (20 records, one a batch) and `u` (2 partitions, nothing in 1)."""
    with running_broker(str(tmp_path / "data")) as broker:
        broker.create_topic("t")
        broker.create_topic("u", 2)
        with RawClient(broker.host, broker.port) as client:
            for number in range(20):
                assert client.produce("t", 0, batch([b"v%d" % number])).error_code == 0
            assert client.produce("u", 0, batch([b"a", b"b"], codec=4)).error_code == 0
    return tmp_path / "data"


def values(data: Path, topic: str = "t") -> list[bytes | None]:
    with running_broker(str(data)) as broker, RawClient(broker.host, broker.port) as client:
        return [record.value for record in client.read_all(topic, 0)]


def damage(data: Path, *offsets: int) -> Path:
    """Change the last byte of these batches of `t`, whose segment is returned."""
    [path] = [one for one in data.glob("topics/*/0/*.log") if one.stat().st_size > 1000]
    content = bytearray(path.read_bytes())
    size = 0
    for number in range(20):
        size += 12 + int.from_bytes(content[size + 8 : size + 12])
        if number in offsets:
            content[size - 2] ^= 1
    path.write_bytes(content)
    return path


def test_a_sound_directory_is_sound(run, data):
    result = run("verify", "--data", str(data))
    assert result.stdout.splitlines()[0].startswith(
        "t/0: sound, offsets 0 to 20, 20 batches, 20 re"
    )
    objects = [
        json.loads(line)
        for line in run("verify", "--data", str(data), "--json").stdout.splitlines()
    ]
    assert [(one["topic"], one["partition"], one["records"]) for one in objects] == [
        ("t", 0, 20),
        ("u", 0, 2),
        ("u", 1, 0),
    ]
    assert all(one["sound"] and not one["damages"] for one in objects)
    assert [
        json.loads(line)["partition"]
        for line in run("verify", "u/1", "--data", str(data), "--json").stdout.splitlines()
    ] == [1]


def test_damage_is_named_cut_as_named_and_kept(run, data):
    path = damage(data, 3, 4, 9)
    result = run("verify", "--data", str(data), "t", "--json", code=1)
    found = json.loads(result.stdout)
    assert [one["cut"] for one in found["damages"]] == ["t/0:3-4", "t/0:9-9"]
    assert all(one["file"] == str(path) and "CRC" in one["why"] for one in found["damages"])
    shown = run("verify", "--data", str(data), code=1).stdout
    assert f"headrace log repair --data {data} --cut t/0:9-9" in shown
    before = path.read_bytes()
    for named in (["t/0:3-4"], ["t/0:3-9", "t/0:9-9"], ["t/0:5-6"], ["t/1:3-4"], ["nope/0:3-4"]):
        cuts = [text for one in named for text in ("--cut", one)]
        run("repair", "--data", str(data), "--yes", *cuts, code=1)
        assert path.read_bytes() == before
    repaired = run(
        "repair", "--data", str(data), "--yes", "--cut", "t/0:3-4", "--cut", "t/0:9-9", "--json"
    )
    copies = Path(json.loads(repaired.stdout)["copies"])
    assert copies.parent == data / "lost+found"
    first, _ = found["damages"]
    kept = {one.name: one.read_bytes() for one in copies.iterdir()}
    assert (
        kept[f"{path.name}.{first['position']}-{first['end']}"]
        == before[first["position"] : first["end"]]
    )
    assert len(json.loads(kept["about.json"])) == 2
    run("verify", "--data", str(data))
    assert values(data) == [b"v%d" % number for number in range(20) if number not in (3, 4, 9)]


def test_a_cut_end_lets_the_topic_go_on(run, data):
    path = damage(data, 18, 19)
    [found] = json.loads(run("verify", "--data", str(data), "t", "--json", code=1).stdout)[
        "damages"
    ]
    assert found["cut"] == "t/0:18-19"
    assert found["end"] == path.stat().st_size
    run("repair", "--data", str(data), "--yes", "--cut", found["cut"])
    with running_broker(str(data)) as broker, RawClient(broker.host, broker.port) as client:
        assert client.produce("t", 0, batch([b"next"])).base_offset == 20
        assert [record.offset for record in client.read_all("t", 0)] == [*range(18), 20]


def test_a_wrong_index_is_made_anew(run, data):
    [path] = [one for one in data.glob("topics/*/0/*.index") if b"HRIX" in one.read_bytes()][:1]
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert str(path) in run("verify", "--data", str(data), code=1).stdout
    run("repair", "--data", str(data), "--indexes")
    run("verify", "--data", str(data))
    assert len(values(data)) == 20


@pytest.mark.parametrize("cut", ["t/0", "t:1-2", "t/0:x-2", "t/0:1", "t/0:1-2-3", ""])
def test_a_range_that_is_none_is_a_wrong_command_line(run, data, cut):
    assert "--cut" in run("repair", "--data", str(data), "--cut", cut, code=2).stderr


def test_a_partition_may_be_called_by_its_topics_id(run, data):
    path = damage(data, 3)
    label = f"{path.parent.parent.name}/0"
    run("repair", "--data", str(data), "--yes", "--cut", f"{label}:3-3")
    run("verify", "--data", str(data), label)


def test_nothing_is_cut_that_was_not_named(run, data):
    path = damage(data, 3)
    before = path.read_bytes()
    assert "--cut" in run("repair", "--data", str(data), code=2).stderr
    assert "add --yes" in run("repair", "--data", str(data), "--cut", "t/0:3-3", code=2).stderr
    assert path.read_bytes() == before
    assert not (data / "lost+found").exists()


def test_a_directory_that_a_broker_holds_is_refused(run, data):
    with running_broker(str(data)):
        for command in (["verify"], ["dump"], ["repair", "--cut", "t/0:1-2"]):
            assert "is in use by process" in run(*command, "--data", str(data), code=1).stderr


def test_what_is_no_data_directory_stays_as_it_is(run, tmp_path):
    assert "is no data directory" in run("verify", "--data", str(tmp_path), code=1).stderr
    assert list(tmp_path.iterdir()) == []
    run("verify", "--data", str(tmp_path / "nowhere"), code=1)


def test_batches_and_records_are_dumped(run, data):
    lines = run("dump", "--data", str(data), "t").stdout.splitlines()
    assert len(lines) == 20
    assert lines[3].startswith("t/0  3-3  1 record  00000000000000000000.log:")
    objects = [
        json.loads(line)
        for line in run("dump", "--data", str(data), "u", "--json").stdout.splitlines()
    ]
    assert [(one["base_offset"], one["last_offset"], one["codec"]) for one in objects] == [
        (0, 1, "zstd")
    ]
    records = run(
        "dump", "--data", str(data), "t/0", "--records", "--json", "--from", "5", "--to", "7"
    )
    assert [json.loads(line)["value"] for line in records.stdout.splitlines()] == ["v5", "v6", "v7"]
    assert "v19" in run("dump", "--data", str(data), "t", "--records").stdout


def test_topics_are_found_by_their_ids_where_the_catalog_is_gone(run, data):
    for path in data.glob("catalog.db*"):
        path.unlink()
    found = [
        json.loads(line)
        for line in run("verify", "--data", str(data), "--json").stdout.splitlines()
    ]
    assert sorted(one["records"] for one in found) == [0, 2, 20]
    assert all(len(one["topic"]) == 32 for one in found)
