"""Interruptions come between steps, never inside one."""

import signal

import pytest

from headrace.cli.stopping import stoppable, whole

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


def blocked() -> set[int]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, []))


@SIGNALS
def test_what_is_whole_is_done_before_a_signal_takes_effect(number: signal.Signals) -> None:
    before, done = blocked(), []

    def call() -> None:
        with whole():
            signal.raise_signal(number)
            done.append("the rest of it")
        done.append("what follows")

    with stoppable(), pytest.raises(KeyboardInterrupt):
        call()
    assert done == ["the rest of it"]
    assert blocked() == before


def test_a_failure_inside_is_told_and_signals_count_again() -> None:
    before = blocked()
    with pytest.raises(ValueError, match="inside"), whole():
        raise ValueError("inside")
    assert blocked() == before


@SIGNALS
def test_a_step_is_finished_before_the_first_signal_takes_effect(number: signal.Signals) -> None:
    done = []

    def work() -> None:
        with stoppable() as stopping, stopping.step():
            signal.raise_signal(number)
            done.append("the rest of it")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done


def test_a_second_signal_does_not_wait_for_the_step() -> None:
    done = []

    def work() -> None:
        with stoppable() as stopping, stopping.step():
            signal.raise_signal(signal.SIGINT)
            done.append("goes on")
            signal.raise_signal(signal.SIGINT)
            done.append("never")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["goes on"]


def test_outside_of_a_step_a_signal_takes_effect_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stoppable():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
