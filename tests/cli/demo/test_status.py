from typing import Any

from headrace.cli.demo.status import Status


def a_status() -> Status:
    status = Status(["airport-EWR", "airport-JFK"], ["consumer-1", "consumer-2"], 2)
    for name, events in (("airport-EWR", 100), ("airport-JFK", 50)):
        status.take(name, {"type": "ready", "events": events})
    return status


def progress(sent: int, acked: int, *ends: int) -> dict[str, Any]:
    return {"type": "progress", "sent": sent, "acked": acked, "ends": list(ends)}


DONE = {"type": "done", "failed": 0, "failure": "", "first_s": 1.0, "last_s": 2.0}


def test_producers_add_up() -> None:
    status = a_status()
    status.take("airport-EWR", progress(10, 8, 5, 3))
    status.take("airport-JFK", progress(5, 4, 2, 9))
    assert (status.total, status.sent, status.acked) == (150, 15, 12)
    assert status.ends == [5, 9]


def test_all_is_sent_when_every_producer_is_done() -> None:
    status = a_status()
    status.take("airport-EWR", DONE)
    assert not status.all_sent
    status.take("airport-JFK", DONE)
    assert status.all_sent


def test_all_is_committed_when_the_group_has_come_to_every_end() -> None:
    status = a_status()
    status.take("airport-EWR", progress(10, 10, 5, 5))
    status.take("consumer-1", {"type": "committed", "offsets": [[0, 5]]})
    assert not status.all_committed
    status.take("consumer-2", {"type": "committed", "offsets": [[1, 5]]})
    assert status.all_committed


def test_what_is_processed_twice_is_redelivered() -> None:
    status = a_status()
    status.take("consumer-1", {"type": "batch", "ranges": [[0, 0, 10], [1, 0, 5]]})
    status.take("consumer-2", {"type": "batch", "ranges": [[0, 8, 12]]})
    assert (status.covered, status.redelivered) == (17, 2)


def test_the_lag_of_a_consumer_is_that_of_its_partitions() -> None:
    status = a_status()
    status.take("airport-EWR", progress(20, 20, 10, 10))
    status.take("consumer-1", {"type": "assigned", "partitions": [0]})
    status.take("consumer-2", {"type": "assigned", "partitions": [1]})
    status.take("consumer-1", {"type": "batch", "ranges": [[0, 0, 4]]})
    assert [status.lag("consumer-1"), status.lag("consumer-2")] == [6, 10]


def test_uncommitted_is_what_a_death_would_repeat() -> None:
    status = a_status()
    status.take("consumer-1", {"type": "assigned", "partitions": [0]})
    status.take("consumer-1", {"type": "batch", "ranges": [[0, 0, 10]]})
    assert status.uncommitted("consumer-1") == 10
    status.take("consumer-1", {"type": "committed", "offsets": [[0, 8]]})
    assert status.uncommitted("consumer-1") == 2
    assert status.uncommitted("consumer-2") == 0


def test_a_dead_consumer_owns_nothing_and_shows_nothing() -> None:
    status = a_status()
    status.take("consumer-1", {"type": "assigned", "partitions": [0]})
    status.take("consumer-2", {"type": "assigned", "partitions": [1]})
    status.take("consumer-1", {"type": "board", "carriers": {"UA": [1, 2, 3, 4, 5]}})
    status.take("consumer-2", {"type": "board", "carriers": {"UA": [1, 1, 1, 1, 1]}})
    assert status.all_owned
    assert status.carriers() == {"UA": [2, 3, 4, 5, 6]}
    status.bury("consumer-1")
    assert not status.all_owned
    assert status.carriers() == {"UA": [1, 1, 1, 1, 1]}


def test_recovery_is_the_first_acknowledgement_of_what_was_sent_after_the_kill() -> None:
    status = a_status()
    status.take("probe", {"type": "samples", "samples": [[1.0, 1.1]]})
    status.killed_s, status.dead_s = 1.95, 2.0
    status.take("probe", {"type": "samples", "samples": [[1.9, 2.1]]})
    assert status.recovered_s is None  # acknowledged by the old broker, or the new: who knows
    status.take("probe", {"type": "samples", "samples": [[2.05, 2.6], [2.03, 2.5]]})
    assert status.recovered_s == 2.5
    status.take("probe", {"type": "samples", "samples": [[2.04, 2.45]]})
    assert status.recovered_s == 2.5
