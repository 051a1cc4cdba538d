"""Tables, numbers and progress."""

import io
import sys
from typing import Any

import pytest

from headrace.cli import progress as progress_module
from headrace.cli.output import bytes_text, count_text, print_table
from headrace.cli.progress import Progress

Capture = Any


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """What `progress` takes for the time; moves when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress_module, "time", clock)
    return clock


def test_a_table_keeps_its_columns(capsys: Capture) -> None:
    print_table(("NAME", "N"), [("a", 1), ("long", 1000), ("none", None)])
    assert capsys.readouterr().out == "NAME     N\na        1\nlong  1000\nnone     -\n"


@pytest.mark.parametrize(
    ("environment", "bold"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_headings_are_bold_only_where_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], bold: bool
) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    print_table(("A",), [("x",)])
    assert ("\x1b[1mA\x1b[0m\n" in sys.stdout.getvalue()) is bold  # type: ignore[attr-defined]


def test_numbers_read_well() -> None:
    assert count_text(1, "record") == "1 record"
    assert count_text(12345, "record") == "12,345 records"
    sizes = (0, 999, 1500, 2_500_000, 3e21)
    assert [bytes_text(size) for size in sizes] == [
        *("0 B", "999 B", "1.5 kB", "2.5 MB", "3000000.0 PB")
    ]


def test_short_work_shows_nothing(capsys: Capture, clock: Clock) -> None:
    with Progress("made") as progress:
        progress.add(1000, 10)
        clock.now_s += 4.9
        progress.add(1, 1)
    assert capsys.readouterr().err == ""
    assert (progress.records, progress.bytes) == (1001, 11)


def test_long_work_shows_plain_lines_where_nobody_draws(capsys: Capture, clock: Clock) -> None:
    with Progress("made") as progress:
        progress.expect(4000)
        for _ in range(4):
            clock.now_s += 2.5
            progress.add(1000, 10_000)
        clock.now_s += 100
        progress.add(0, 0)  # nothing new, nothing to say
    assert capsys.readouterr().err.splitlines() == [
        "headrace: made: 2,000 of 4,000 records, 400 records/s, 4.0 kB/s",
        "headrace: made: 4,000 of 4,000 records, 400 records/s, 4.0 kB/s",
    ]


def test_long_work_draws_a_line_on_a_terminal_and_takes_it_away(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with Progress("made to measure") as progress:
        progress.expect(2000)
        progress.add(1, 1)
        assert terminal.getvalue() == ""
        clock.now_s += 1
        progress.add(999, 99)
    shown = terminal.getvalue()
    assert "made to measure" in shown
    assert "1000/2000" in shown
    assert "1,000 records/s" in shown
    assert shown.endswith("\x1b[2K")
