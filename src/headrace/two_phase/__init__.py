"""One transaction of the log that ends as a transaction elsewhere does (KIP-939).

    with TwoPhaseProducer("127.0.0.1:9092", "payments") as log:
        if log.open() is not None:      # a transaction was left behind by a crash
            log.complete(stored)        # committed if the database has its state, else aborted
        log.begin()
        log.send("payments", b"12.50", key=b"alice", partition=0)
        state = log.prepare()           # written durably; only the decision is left
        ...                             # the database commits its rows and str(state) together
        log.commit()

Between `prepare` and the end nothing is decided by the log: no timeout, no restart of the broker
and no crash of the program ends the transaction. The database's commit is the decision, and the
state that was stored with it tells the next start what it was. `examples/` has the whole of it with
PostgreSQL.

The broker must allow it (`transaction.two.phase.commit.enable=true`), since a transaction that
nobody ends holds up all readers of committed records. No published client can do this yet; should
one, this package is not needed any more.

`producer` is what users call, `requests` asks a broker again until it answers. What must not enter:
databases; anything of the broker but the bytes that it speaks (`wire`).
"""

from headrace.two_phase.errors import Fenced, OutOfTurn, Refused, TwoPhaseError, Unanswered
from headrace.two_phase.producer import TwoPhaseProducer
from headrace.two_phase.state import PreparedState

__all__ = [
    "Fenced",
    "OutOfTurn",
    "PreparedState",
    "Refused",
    "TwoPhaseError",
    "TwoPhaseProducer",
    "Unanswered",
]
