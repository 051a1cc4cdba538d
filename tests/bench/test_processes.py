"""Processor time and memory of processes, the machine's facts."""

import os
import subprocess
import sys

import pytest

from bench import processes
from bench.processes import (
    cpu_s,
    drop_page_cache,
    machine,
    parse_cpu_ticks,
    resident_mb,
    with_descendants,
)

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")


def test_ticks_are_found_behind_any_name() -> None:
    fields = ["S", "1", "1", "1", "0", "-1", "4194304", "1", "2", "3", "4", "10", "20", "30", "40"]
    assert parse_cpu_ticks(f"42 (a ) b (c) {' '.join(fields)} 20 0 1") == 100


@linux
def test_children_count_with_those_who_started_them() -> None:
    code = (
        "import subprocess, sys; p = subprocess.Popen(['cat']); print(p.pid, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert sorted(with_descendants([parent.pid])) == sorted([parent.pid, child])
        assert resident_mb([parent.pid]) > resident_mb([child]) > 0
        assert cpu_s([parent.pid]) >= 0
        parent.stdin.close()


def test_nobody_has_neither_time_nor_memory() -> None:
    assert cpu_s([]) != cpu_s([])
    assert resident_mb([]) != resident_mb([])


@linux
def test_the_machine_is_told_with_the_disk_under_a_directory() -> None:
    facts = machine(os.getcwd())
    assert facts["cores"] >= 1
    assert facts["python"].startswith("3.")
    assert facts["disk"]


@linux
def test_without_rights_the_pages_of_the_files_are_dropped_one_by_one(
    tmp_path, monkeypatch
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "log").write_bytes(bytes(10_000))
    dropped: list[int] = []
    monkeypatch.setattr(processes, "DROP_CACHES", str(tmp_path / "nothing" / "drop_caches"))
    monkeypatch.setattr(os, "sync", lambda: None)
    monkeypatch.setattr(os, "posix_fadvise", lambda *all_of_it: dropped.append(all_of_it[-1]))
    assert "posix_fadvise" in drop_page_cache(str(tmp_path))
    assert dropped == [os.POSIX_FADV_DONTNEED]
