"""Consume, process, produce, exactly once: a loop on confluent-kafka for any Kafka broker.

    from headrace.exactly_once import ExactlyOnce, Output

    def bill(orders):
        for order in orders:
            yield Output("invoices", key=order.key(), value=b"bill for " + order.value())

    with ExactlyOnce({"bootstrap.servers": "127.0.0.1:9092"}, "billing", ["orders"]) as loop:
        loop.run(bill)

What was read, what it led to and how far the group has come are one transaction: after any crash
either all of it is there or nothing, and a consumer with `isolation.level=read_committed` (the
default of every current client but the command lines') never sees the rest.

This holds for what goes from topics to topics. An effect elsewhere (a mail, a row in a database) is
not in the transaction: make it idempotent, see `examples/idempotent_consumer_*.py`.

`loop` is the loop, `inbox` the consumer's side, `transaction` the producer's, `silence` sees when
nothing comes that should. What must not enter: anything of the broker.
"""

from headrace.exactly_once.errors import Broken, ExactlyOnceError, Fenced, Stalled, Undeliverable
from headrace.exactly_once.loop import ExactlyOnce, Process
from headrace.exactly_once.output import Output

__all__ = [
    "Broken",
    "ExactlyOnce",
    "ExactlyOnceError",
    "Fenced",
    "Output",
    "Process",
    "Stalled",
    "Undeliverable",
]
