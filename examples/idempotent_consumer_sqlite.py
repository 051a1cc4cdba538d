"""Stock that is counted once, whatever is delivered twice: an idempotent consumer with SQLite.

    python examples/idempotent_consumer_sqlite.py 127.0.0.1:9092 stock.db

Reads `deliveries`: the key is an item, the value how many pieces came in, the header `ce_id` the
event's own id (CloudEvents' name for it). A consumer that is killed between its database and its
offsets is given events again, and a sender that lost its answer may send one twice. So the id goes
into the database in the same transaction as the effect, where it can be only once.

Ids are needed for as long as an event can come again: delete those that are older than the topic's
retention.
"""

import signal
import sqlite3
import sys

from confluent_kafka import Consumer, Message

SCHEMA = """
CREATE TABLE IF NOT EXISTS handled (
    event_id TEXT PRIMARY KEY,
    at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stock (item TEXT PRIMARY KEY, pieces INTEGER NOT NULL);
"""


def handle(database: sqlite3.Connection, event_id: str, item: str, pieces: int) -> bool:
    """False if the event was handled before."""
    with database:  # one transaction: both or neither
        fresh = database.execute(
            "INSERT INTO handled (event_id) VALUES (?) ON CONFLICT DO NOTHING", (event_id,)
        ).rowcount
        if fresh:
            database.execute(
                "INSERT INTO stock VALUES (?, ?) "
                "ON CONFLICT (item) DO UPDATE SET pieces = pieces + excluded.pieces",
                (item, pieces),
            )
    return bool(fresh)


def event_id_of(message: Message) -> str:
    """Without one, the place in the log: that is new when an event is sent twice."""
    given = dict(message.headers() or ()).get("ce_id")
    if given is not None:
        return str(given, "utf-8")
    return f"{message.topic()}/{message.partition()}/{message.offset()}"


def main(bootstrap: str, path: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    database = sqlite3.connect(path)
    database.executescript(SCHEMA)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "stock",
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "enable.auto.offset.store": False,  # committed are only offsets that were handled
        }
    )
    consumer.subscribe(["deliveries"])
    try:
        while True:
            message = consumer.poll(0.5)
            if message is None:
                continue
            if message.error() is not None:
                raise RuntimeError(message.error())
            handle(database, event_id_of(message), message.key().decode(), int(message.value()))
            consumer.store_offsets(message)
    finally:
        consumer.close()
        database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
