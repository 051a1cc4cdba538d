"""`headrace demo`: where the files go, what happens to signals, and what is printed at the end."""

import json
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from headrace.cli.demo.display import choose, mean_delays
from headrace.cli.demo.job import Course, DemoFailed, Job
from headrace.cli.demo.report import Report
from headrace.cli.failure import Exit, note

__all__ = ["EVENTS_MIN", "run"]

EVENTS_MIN: Final = 1000
"""The fewest events with which every process gets its share of work before it is killed."""

_BOARD_ROWS: Final = 5


def run(
    *,
    json_output: bool = False,
    durability: str = "fsync",
    data: Path | None = None,
    events: int | None = None,
    keep: bool = False,
    timeout_s: float = 115.0,
    serve: Callable[[int], list[str]] | None = None,
) -> int:
    """Run the demo; returns the exit code: 0 if every promise was kept.

    data        the broker's data directory; kept. By default a temporary one, removed at the end
    events      only the first so many events, sent over a few seconds (for tests)
    keep        keep the temporary directory (data, logs of all processes, boards) and say where
    timeout_s   give up after this long
    serve       the command that starts another broker on a port, instead of `headrace serve`
    """
    if events is not None and events < EVENTS_MIN:
        note(f"{events} events are over before anybody can be killed; {EVENTS_MIN} will do")
        return Exit.USAGE
    directory = Path(tempfile.mkdtemp(prefix="headrace-demo-"))
    course = Course(
        directory=directory,
        data=data or directory / "data",
        durability=durability,
        events=events,
        timeout_s=timeout_s,
        serve=serve,
    )
    try:
        with _signals_interrupt():
            report = _carry_through(course)
        _show(report, json_output)
    except DemoFailed as failure:
        note(str(failure))
        return Exit.FAILED
    except KeyboardInterrupt:
        note("interrupted")
        return Exit.INTERRUPTED
    finally:
        if keep:
            note(f"kept {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return Exit.FAILED if report.failures() else Exit.OK


def _carry_through(course: Course) -> Report:
    display = choose()
    try:
        return Job(course, display).run()
    finally:
        display.close()


def _show(report: Report, json_output: bool) -> None:
    if json_output:
        print(json.dumps(report.to_json()))
        note(report.verdict())
        return
    rows = report.rows()
    names, values = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, value, meaning in rows:
        print(f"{name:<{names}}  {value:>{values}}  {meaning}".rstrip())
    print("\nMinutes late at departure, the worst of the delay board:")
    for carrier, departed, late, _, _ in mean_delays(report.carriers)[:_BOARD_ROWS]:
        print(f"  {late:5.1f}  {carrier}, {departed:,} departures")
    print(f"\n{report.crossing()}\n")
    for example in report.findings.examples:
        print(f"  {example}")
    print(report.verdict())


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP do what Ctrl-C does, and only the first of them: then it cleans up."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
