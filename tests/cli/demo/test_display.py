import io
from collections import deque

import pytest
from rich.console import Console

from headrace.cli.demo.display import LiveDisplay, PlainDisplay, choose, latest, mean_delays
from headrace.cli.demo.status import Status


def a_status() -> Status:
    status = Status(["airport-EWR"], ["consumer-1", "consumer-2"], 2)
    status.take("airport-EWR", {"type": "ready", "events": 1000})
    status.take("airport-EWR", {"type": "progress", "sent": 600, "acked": 500, "ends": [250, 250]})
    status.take("consumer-1", {"type": "assigned", "partitions": [0, 1]})
    status.take("consumer-1", {"type": "batch", "ranges": [[0, 0, 100]]})
    status.take("consumer-1", {"type": "board", "carriers": {"UA": [2, 9, 1, 3, 0]}})
    status.bury("consumer-2")
    return status


def test_plain_lines_come_at_intervals_and_hold_the_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    display = PlainDisplay()
    for tenth in range(50):
        display.update(a_status(), tenth / 10)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "sent 600, in the log 500, processed 100 of 1,000" in lines[0]
    assert "lag 400 / killed" in lines[0]


def test_notes_are_shown_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    PlainDisplay().note(1.5, "broker killed")
    assert capsys.readouterr().err == "   1.5 s  broker killed\n"


def test_without_a_terminal_lines_are_plain() -> None:
    assert isinstance(choose(), PlainDisplay)


def test_the_live_picture_shows_counts_group_and_board() -> None:
    screen = io.StringIO()
    display = LiveDisplay(Console(file=screen, force_terminal=True, width=120))
    display.update(a_status(), 1.0)
    display.note(1.0, "broker killed with SIGKILL")
    display.close()
    shown = screen.getvalue()
    for text in ("consumer-1", "killed", "UA", "4.5", "broker killed with SIGKILL", "500"):
        assert text in shown


def test_the_worst_carrier_is_on_top_and_idle_ones_are_left_out() -> None:
    carriers = {"AA": [2, 10, 2, 8, 1], "UA": [1, 40, 0, 0, 0], "ZZ": [0, 0, 0, 0, 5]}
    assert mean_delays(carriers) == [("UA", 1, 40.0, 0.0, 0), ("AA", 2, 5.0, 4.0, 1)]


def test_the_rate_is_that_of_the_last_moments() -> None:
    rates: deque[tuple[float, int]] = deque(maxlen=100)
    assert latest(rates, 0.0, 0) == 0.0
    assert latest(rates, 1.0, 100) == 100.0
    assert latest(rates, 10.0, 100) == pytest.approx(0.0)
