"""What is known of peers without having any."""

import re
import subprocess

import pytest

from bench.peers import PEERS, NotInstalled, debian
from bench.peers import kafka as kafka_peer
from bench.peers import nats as nats_peer


@pytest.fixture
def nothing_here(tmp_path, monkeypatch):
    """An empty cache, and no program on the path."""
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(debian, "SYSTEM_FOLDERS", "")
    return tmp_path


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_that_is_not_here_says_how_to_get_it(name, nothing_here) -> None:
    with (
        pytest.raises(NotInstalled, match=r"--install-peers|there is no `java`"),
        PEERS[name].start(str(nothing_here), "os"),
    ):
        pass


def test_every_jar_has_a_checksum_and_one_version() -> None:
    jars = kafka_peer.jars()
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest, _ in jars)
    names = [path.split("/")[-3] for _, path in jars]
    assert len(set(names)) == len(names)
    assert f"org/apache/kafka/kafka_2.13/{kafka_peer.VERSION}/" in "".join(p for _, p in jars)


def test_a_jar_that_is_not_what_it_was_is_not_kept(tmp_path, monkeypatch) -> None:
    there = tmp_path / "central"
    there.mkdir()
    (there / "a.jar").write_bytes(b"something else")
    monkeypatch.setattr(kafka_peer, "CENTRAL", f"file://{there}/")
    target = tmp_path / "cache" / "a.jar"
    with pytest.raises(NotInstalled, match="SHA-256"):
        kafka_peer.download("a.jar", "0" * 64, str(target))
    assert not target.exists()


@pytest.mark.parametrize(
    ("line", "fits"),
    [
        ('openjdk version "17.0.15" 2025-04-15', True),
        ('openjdk version "21" 2023-09-19', True),
        ('java version "1.8.0_392"', False),
    ],
)
def test_java_must_be_new_enough(line, fits, monkeypatch) -> None:
    shown = subprocess.CompletedProcess(
        [], 0, "", f"Picked up JAVA_TOOL_OPTIONS: x\n{line}\nmore\n"
    )
    monkeypatch.setattr(kafka_peer.shutil, "which", lambda _: "/bin/java")
    monkeypatch.setattr(kafka_peer.subprocess, "run", lambda *_, **__: shown)
    if fits:
        assert kafka_peer.java_version() == line
    else:
        with pytest.raises(NotInstalled, match="Java 17 or newer"):
            kafka_peer.java_version()


def test_a_nats_server_that_cannot_sync_before_it_acknowledges_is_passed_over(
    nothing_here,
) -> None:
    for folder, number in ((nothing_here, "2.9.10"), (nothing_here / "go" / "bin", "2.15.2")):
        folder.mkdir(parents=True, exist_ok=True)
        program = folder / "nats-server"
        program.write_text(f"#!/bin/sh\necho nats-server: v{number}\n")
        program.chmod(0o755)
    assert nats_peer.program() == str(nothing_here / "go" / "bin" / "nats-server")
