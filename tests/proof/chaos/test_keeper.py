"""The bookkeeper's book knows when a committed offset went back, or came from nowhere."""

from proof.chaos.keeper import Book


def test_what_was_confirmed_or_read_is_the_least_that_may_be_read_later() -> None:
    book = Book()
    for _ in range(5):
        book.ask()
    book.confirm(1)
    book.read(1)
    book.read(4)  # never confirmed, done all the same
    assert book.problems == []
    book.read(2)
    assert len(book.problems) == 1
    assert "went back: 2 was read, 4" in book.problems[0]


def test_an_offset_that_nobody_committed_is_found() -> None:
    book = Book()
    book.ask()
    book.read(0)
    book.read(1)
    assert "nobody committed it" in book.problems[0]


def test_a_group_that_was_forgotten_is_found() -> None:
    book = Book()
    book.confirm(book.ask())
    book.read(-1)
    assert "went back: -1 was read, 0" in book.problems[0]
