"""The whole demo, small, with its processes and both deaths; and how it ends when it may not."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.cli.demo import command
from headrace.cli.demo.checker import Findings
from headrace.cli.demo.command import EVENTS_MIN, run
from headrace.cli.demo.job import Job
from headrace.cli.demo.report import Report

EVENTS = 3000
MARK = "DEMO_TEST_MARK"

ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def start(temporary: Path, **options: object) -> "subprocess.Popen[str]":
    script = f"import sys; from headrace.cli.demo.command import run; sys.exit(run(**{options!r}))"
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary), MARK: str(temporary)},
    )


def living(temporary: Path) -> list[str]:
    """The command lines of all processes that have our mark in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={temporary}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
    return found


@pytest.fixture
def under_way(tmp_path: Path) -> "Iterator[subprocess.Popen[str]]":
    """A demo whose processes are all at work."""
    with start(tmp_path) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.rstrip().endswith("events, go"):
                break
        assert len(living(tmp_path)) == 9
        yield process
        process.kill()


@pytest.mark.slow
def test_a_small_run_keeps_every_promise_through_both_deaths(tmp_path: Path) -> None:
    process = start(tmp_path, events=EVENTS, json_output=True)
    out, err = process.communicate(timeout=55)
    assert process.returncode == 0, err
    result = json.loads(out)
    assert list(result) == [
        *("sent", "in_log", "lost", "duplicated_in_log", "out_of_order", "redelivered"),
        *("events_per_s", "ack_ms_p50", "ack_ms_p99", "recovery_s", "durability"),
    ]
    assert result["sent"] == result["in_log"] == EVENTS
    assert result["lost"] == result["duplicated_in_log"] == result["out_of_order"] == 0
    assert result["durability"] == "fsync"
    assert result["recovery_s"] > 0
    assert 0 < result["ack_ms_p50"] <= result["ack_ms_p99"]
    assert "broker killed with SIGKILL" in err
    assert "consumer-2 killed with SIGKILL" in err
    assert list(tmp_path.iterdir()) == []


@ON_LINUX
@pytest.mark.slow
def test_interrupted_it_leaves_nothing_behind(
    tmp_path: Path, under_way: "subprocess.Popen[str]"
) -> None:
    under_way.send_signal(signal.SIGINT)
    under_way.communicate(timeout=20)
    assert under_way.returncode == 130
    assert living(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@ON_LINUX
@pytest.mark.slow
def test_killed_it_takes_its_processes_with_it(
    tmp_path: Path, under_way: "subprocess.Popen[str]"
) -> None:
    under_way.kill()
    under_way.communicate(timeout=20)
    deadline = time.monotonic() + 20
    while left := living(tmp_path):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_a_broker_that_does_not_start_is_said_and_cleaned_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run(serve=lambda _port: [sys.executable, "-c", "exit('no such disk')"]) == 1
    assert "no such disk" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_takes_too_long_is_given_up_with_the_numbers_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run(events=EVENTS, timeout_s=0.01) == 1
    shown = capsys.readouterr().err
    assert "not finished within 0.01 s: of 0 events 0 are acknowledged" in shown
    assert "the broker's last words" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_once_and_then_lets_it_clean_up(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleaned = []

    def work(_job: Job) -> Report:
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)
            cleaned.append(True)
        raise AssertionError("not interrupted")

    before = signal.getsignal(number)
    monkeypatch.setattr(Job, "run", work)
    assert run() == 130
    assert cleaned == [True]
    assert signal.getsignal(number) is before


def test_too_few_events_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(events=EVENTS_MIN - 1) == 2
    assert str(EVENTS_MIN) in capsys.readouterr().err


@pytest.fixture
def report() -> Report:
    return Report(
        sent=2,
        findings=Findings(in_log=2),
        redelivered=0,
        processed=2,
        never_acknowledged=0,
        events_per_s=1.0,
        ack_ms=[1.0],
        recovery_s=0.5,
        durability="fsync",
        consumer_killed=True,
        board_matches=True,
        carriers={"Wide Skies": [3, 6, 2, 2, 0]},
    )


@pytest.mark.parametrize(("lost", "code"), [(0, 0), (1, 1)])
def test_the_exit_code_is_the_verdict(
    report: Report,
    lost: int,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report.findings.lost = lost
    monkeypatch.setattr(Job, "run", lambda _job: report)
    assert run() == code
    shown = capsys.readouterr().out
    assert ("BROKEN: 1 acknowledged events are lost." in shown) == bool(lost)
    assert "2.0  Wide Skies, 3 departures" in shown


def test_json_has_stdout_for_itself(
    report: Report, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Job, "run", lambda _job: report)
    assert run(json_output=True) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == report.to_json()
    assert "exactly once" in captured.err


def test_a_kept_directory_is_named(
    report: Report,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(command, "Job", lambda _course, _display: FinishedJob(report))
    assert run(keep=True) == 0
    (kept,) = tmp_path.iterdir()
    assert f"kept {kept}" in capsys.readouterr().err


class FinishedJob:
    def __init__(self, report: Report) -> None:
        self._report = report

    def run(self) -> Report:
        return self._report
