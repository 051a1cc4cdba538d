"""A payment is a row and an event, or neither: PostgreSQL and the log commit together.

    headrace serve --broker transaction.two.phase.commit.enable=true
    headrace topic create payments
    python examples/dual_write_postgresql.py 127.0.0.1:9092 postgresql:///bank ID=CENTS ...

(PostgreSQL with `max_prepared_transactions` above 0.) Payments that are in the database already are
left out, so after a crash the same command finishes the work. The order of steps:

    1  begin both                                    a crash from here on: neither is decided, and
    2  write to both                                 the next start aborts both
    3  the log prepares, and names its transaction
    4  PREPARE TRANSACTION under that name           both can be committed now, so the next start
    5  COMMIT PREPARED: the decision                 commits both
    6  the log commits                               done

A name stands for one transaction of the log and no other, so the next start knows what belongs
together: if the transaction that the log keeps is prepared in the database, both are committed; if
it is the last one that the database committed, the log's is; otherwise the log's is aborted.
Prepared transactions hold locks, and hold up readers of committed records, until that next start:
have one.
"""

import sys

import psycopg

from headrace.two_phase import TwoPhaseProducer

TOPIC = "payments"
OWNER = "payments"
"""The transactional id, the row of the last transaction, and what prepared ones begin with."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS payments (id TEXT PRIMARY KEY, cents BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS log_transactions (owner TEXT PRIMARY KEY, state TEXT NOT NULL);
"""
REMEMBER = """
INSERT INTO log_transactions VALUES (%s, %s)
ON CONFLICT (owner) DO UPDATE SET state = excluded.state
"""


def pay(database: psycopg.Connection, log: TwoPhaseProducer, payment: str, cents: int) -> None:
    log.begin()
    database.execute("BEGIN")
    database.execute("INSERT INTO payments VALUES (%s, %s)", (payment, cents))
    log.send(TOPIC, str(cents).encode(), key=payment.encode(), partition=0)
    state = str(log.prepare())
    database.execute(REMEMBER, (OWNER, state))
    database.execute(f"PREPARE TRANSACTION '{OWNER}/{state}'")
    database.execute(f"COMMIT PREPARED '{OWNER}/{state}'")
    log.commit()


def recover(database: psycopg.Connection, log: TwoPhaseProducer) -> None:
    """Whatever the last process left behind ends the same way on both sides."""
    held = log.open()
    prepared = database.execute(
        "SELECT gid FROM pg_prepared_xacts WHERE starts_with(gid, %s) "
        "AND database = current_database()",
        (f"{OWNER}/",),
    ).fetchall()
    for (name,) in prepared:
        both = name == f"{OWNER}/{held}"
        database.execute(f"COMMIT PREPARED '{name}'" if both else f"ROLLBACK PREPARED '{name}'")
    if held is not None:
        row = database.execute(
            "SELECT state FROM log_transactions WHERE owner = %s", (OWNER,)
        ).fetchone()
        log.complete(row[0] if row else None)


def main(bootstrap: str, address: str, *payments: str) -> None:
    with (
        psycopg.connect(address, autocommit=True) as database,
        TwoPhaseProducer(bootstrap, OWNER) as log,
    ):
        # Two processes must not decide. PostgreSQL takes the lock back when a session ends, so who
        # had it before can prepare and commit nothing any more.
        database.execute("SELECT pg_advisory_lock(hashtext(%s))", (OWNER,))
        database.execute(SCHEMA)
        recover(database, log)
        for payment, _, cents in (each.partition("=") for each in payments):
            known = database.execute("SELECT FROM payments WHERE id = %s", (payment,)).fetchone()
            if known is None:
                pay(database, log, payment, int(cents))


if __name__ == "__main__":
    main(*sys.argv[1:])
