"""What repeats is counted, what is new is written at once."""

import logging

from headrace.server.repeated_lines import LINES_MAX, TEXTS_MAX, WINDOW_S, RepeatedLines


class Log:
    """A logger of its own with the filter before a list; `now_s` is its clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.lines: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: self.lines.append(record.getMessage())  # type: ignore[method-assign]
        self.filter = RepeatedLines(lambda: self.now_s)
        handler.addFilter(self.filter)
        self.logger = logging.Logger("headrace.test")
        self.logger.addHandler(handler)


def test_a_line_that_repeats_is_written_a_few_times_then_counted() -> None:
    log = Log()
    for _ in range(LINES_MAX + 500):
        log.logger.error("group %r cannot be saved", "g")
    assert len(log.lines) == LINES_MAX
    log.logger.error("something else")
    assert log.lines[-1] == "something else"
    log.now_s = WINDOW_S
    log.logger.error("group %r cannot be saved", "g")
    assert log.lines[-1] == "group 'g' cannot be saved (and 500 more like it before)"
    log.logger.error("group %r cannot be saved", "g")
    assert log.lines[-1] == "group 'g' cannot be saved"


def test_each_thing_in_trouble_is_named() -> None:
    log = Log()
    for number in range(500):
        log.logger.error("partition %d is offline", number)
    assert len(log.lines) == 500


def test_what_comes_now_and_then_is_always_written() -> None:
    log = Log()
    for _ in range(50):
        log.now_s += WINDOW_S / LINES_MAX + 0.1
        log.logger.warning("a torn tail of %d bytes was cut", 7)
    assert len(log.lines) == 50
    assert not any("more like it" in line for line in log.lines)


def test_news_are_not_counted() -> None:
    log = Log()
    for _ in range(100):
        log.logger.info("group %r has a new member", "g")
    assert len(log.lines) == 100


def test_the_table_of_texts_is_bounded() -> None:
    log = Log()
    for number in range(3 * TEXTS_MAX):
        log.logger.error(f"text {number}")  # noqa: G004 - that is what is tested
    assert len(log.lines) == 3 * TEXTS_MAX
    assert len(log.filter._seen) <= TEXTS_MAX
