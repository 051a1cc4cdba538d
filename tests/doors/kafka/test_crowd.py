"""Who waits for whom with an answer."""

import socket
import time

from headrace.doors.kafka.crowd import CHANGES_MIN, TOGETHER_MIN, Crowd
from headrace.testing import running_broker


def crowded() -> Crowd:
    crowd = Crowd()
    for number in range(CHANGES_MIN + 1):
        crowd.answers_wait(number)
    return crowd


def test_one_connection_never_waits() -> None:
    crowd = Crowd()
    assert not any(crowd.answers_wait(7) for _ in range(10 * CHANGES_MIN))


def test_requests_that_come_from_ever_others_make_a_crowd() -> None:
    crowd = Crowd()
    waits = [crowd.answers_wait(number) for number in range(CHANGES_MIN + 3)]
    assert waits == [False] * CHANGES_MIN + [True] * 3


def test_two_that_take_turns_hardly_wait() -> None:
    crowd = Crowd()
    waited = 0
    for number in range(100 * CHANGES_MIN):
        if crowd.answers_wait(number % 2):
            waited += 1
            crowd.left_together(1)
    assert waited < 100


def test_a_crowd_lasts_as_long_as_answers_leave_together() -> None:
    crowd = crowded()
    crowd.left_together(TOGETHER_MIN)
    assert crowd.answers_wait(1)
    crowd.left_together(TOGETHER_MIN - 1)
    assert not crowd.answers_wait(2)


def test_a_crowd_that_has_sent_parts_of_requests_is_waited_for_and_not_asked_again() -> None:
    with running_broker() as broker:
        crowd = [socket.create_connection((broker.host, broker.port)) for _ in range(50)]
        for _ in range(3):
            for client in crowd:
                client.sendall(b"\0")
        time.sleep(0.2)
        began_s, began_cpu_s = time.monotonic(), time.process_time()
        time.sleep(0.5)
        used = (time.process_time() - began_cpu_s) / (time.monotonic() - began_s)
        for client in crowd:
            client.close()
    assert used < 0.5
