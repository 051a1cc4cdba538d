import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.latency.schedule import RECORDS_MAX, SENDS_MAX, OpenLoop, Schedule, Tally

MS = 1_000_000
S = 1000 * MS


class Simulated:
    """A generator on a clock that only goes when told, and a server that answers each send after
    `answer_ns`, but nothing while it stalls."""

    def __init__(self, schedule: Schedule, *, answer_ns: int = MS // 2, stall=(0, 0)) -> None:
        self.loop = OpenLoop(schedule, warm=0)
        self.now_ns = schedule.start_ns
        self.sends = []
        self._answers = []
        self._answer_ns = answer_ns
        self._stall = stall

    def run(self) -> None:
        while not self.loop.is_finished:
            while send := self.loop.next_send(self.now_ns):
                self.sends.append((self.now_ns, send))
                self._answers.append((self._answered_at(self.now_ns), send.records))
            moments = [at for at, _ in self._answers[:1]]
            wake_ns = self.loop.wake_ns(self.now_ns)
            moments += [] if wake_ns is None else [wake_ns]
            self.now_ns = max(self.now_ns, min(moments))
            while self._answers and self._answers[0][0] <= self.now_ns:
                self.loop.acknowledge(self.now_ns, self._answers.pop(0)[1])

    def _answered_at(self, sent_ns: int) -> int:
        at = sent_ns + self._answer_ns
        begins, ends = self._stall
        return ends if begins <= at < ends else at


def test_a_stall_of_a_second_is_in_the_latency_of_every_record_that_was_due_in_it():
    # 10,000 records in 10 s, 1,000 of them due while nothing is answered.
    run = Simulated(Schedule(0, MS, 10_000), stall=(5 * S, 6 * S))
    run.run()
    latencies = run.loop.acked.latencies
    assert latencies.count == 10_000
    assert latencies.percentile_ns(0.5) < 1 * MS
    assert latencies.percentile_ns(0.95) == pytest.approx(0.5 * S, rel=0.05)
    assert latencies.percentile_ns(0.99) == pytest.approx(0.9 * S, rel=0.05)
    assert latencies.greatest_ns == pytest.approx(1 * S, rel=0.01)
    # Whoever counts from the moment of sending has seen no more than this many stalled sends.
    assert sum(5 * S <= at < 6 * S for at, _ in run.sends) <= SENDS_MAX


def test_what_waited_is_sent_in_larger_batches():
    run = Simulated(Schedule(0, MS // 10, 50_000), stall=(1 * S, 2 * S))
    run.run()
    largest = max(send.records for _, send in run.sends)
    assert largest == RECORDS_MAX
    assert {send.records for at, send in run.sends if at < S // 2} <= {1, 10}


def test_a_quiet_producer_sends_each_record_at_its_tick():
    run = Simulated(Schedule(0, 5 * MS, 100))
    run.run()
    assert [at for at, _ in run.sends] == [5 * MS * number for number in range(100)]
    assert run.loop.late.greatest_ns == 0


@given(
    st.integers(1, 3 * MS),
    st.integers(1, 3000),
    st.integers(0, 20 * MS),
    st.integers(0, 50 * MS),
)
def test_every_record_is_sent_once_in_order_and_never_before_it_is_due(
    interval_ns, records, answer_ns, stall_ns
):
    schedule = Schedule(7, interval_ns, records)
    run = Simulated(schedule, answer_ns=answer_ns, stall=(3 * MS, 3 * MS + stall_ns))
    run.run()
    sent = 0
    for at, send in run.sends:
        assert send.first == sent
        assert 1 <= send.records <= RECORDS_MAX
        sent += send.records
        assert schedule.time_ns(sent - 1) <= at
    assert sent == records == run.loop.acked.latencies.count


def test_no_more_than_so_many_sends_wait_for_their_answer():
    loop = OpenLoop(Schedule(0, 1, 1_000_000), warm=0)
    for _ in range(SENDS_MAX):
        assert loop.next_send(S) is not None
    assert loop.next_send(S) is None
    assert loop.wake_ns(S) is None
    loop.acknowledge(S, RECORDS_MAX)
    assert loop.next_send(S) is not None


def test_an_answer_to_what_was_not_sent_is_refused():
    loop = OpenLoop(Schedule(0, MS, 10), warm=0)
    with pytest.raises(RuntimeError, match="1 more acknowledged"):
        loop.acknowledge(S, 1)


def test_warm_up_does_not_count():
    tally = Tally(Schedule(0, MS, 100), warm=40)
    tally.add(39 * MS, 40)
    tally.add(139 * MS, 60)
    assert tally.latencies.count == 60
    assert tally.latencies.least_ns == 40 * MS
    assert tally.latencies.greatest_ns == 99 * MS
    assert tally.at_the_end.count == 25


def test_warm_up_may_end_inside_of_an_answer():
    tally = Tally(Schedule(0, MS, 100), warm=40)
    tally.add(99 * MS, 100)
    assert tally.latencies.count == 60
    assert tally.latencies.greatest_ns == 59 * MS
