"""The thread behind the flusher and the catalog's writer."""

import threading

from headrace.worker import Worker

WAIT_S = 10.0


def test_what_waits_is_handed_to_the_work_together_and_in_order():
    entered, go_on = threading.Event(), threading.Event()
    done: list[list[int]] = []

    def work(items: list[int]) -> None:
        entered.set()
        assert go_on.wait(WAIT_S)
        done.append(items)

    worker = Worker("test", work, items_max=3)
    worker.start()
    worker.put(0)
    assert entered.wait(WAIT_S)
    for item in range(1, 6):
        worker.put(item)
    worker.end()
    go_on.set()
    worker.join()
    assert done == [[0], [1, 2, 3], [4, 5]]


def test_begin_is_first_and_end_last_and_both_in_the_thread():
    told: list[tuple[object, threading.Thread]] = []

    def note(what: object) -> None:
        told.append((what, threading.current_thread()))

    worker = Worker("test", note, begin=lambda: note("begin"), end=lambda: note("end"))
    worker.start()
    worker.put("item")
    worker.end()
    worker.end()
    worker.join()
    assert [what for what, _ in told] == ["begin", ["item"], "end"]
    assert {thread.name for _, thread in told} == {"test"}
