"""Bytes of the catalog that change: a start refuses by name, or everything in it is as it was.

After a clean end that holds for every byte (`catalog.db-seal`), and after a kill for the
write-ahead log. In the main file, after a kill, a changed value of a row may go unseen; it is
counted, and a start must come to an end with it all the same.
"""

import asyncio
import random
import shutil
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from headrace.broker.broker import Broker, BrokerOptions, OpenError
from headrace.testing import running_broker

__all__ = ["make", "sweep", "tables"]

TIMEOUT_S: Final = 20
SEAL: Final = "catalog.db-seal"
FILES: Final = ("catalog.db", "catalog.db-wal", SEAL)


def make(directory: Path) -> None:
    """A data directory with rows of most kinds, closed cleanly."""
    with running_broker(str(directory)) as broker:
        address = {"bootstrap.servers": broker.bootstrap}
        admin = AdminClient(address)
        configs = {"retention.ms": "5000000", "segment.bytes": "1048576"}
        for made in admin.create_topics([NewTopic("t", 2, 1, config=configs)]).values():
            made.result(TIMEOUT_S)
        producer = Producer(address | {"transactional.id": "mover"})
        producer.init_transactions(TIMEOUT_S)
        producer.begin_transaction()
        producer.produce("t", b"value", partition=0)
        producer.commit_transaction(TIMEOUT_S)
        for protocol in ("classic", "consumer"):
            group = {"group.id": f"g-{protocol}", "group.protocol": protocol}
            consumer = Consumer(address | group | {"auto.offset.reset": "earliest"})
            consumer.subscribe(["t"])
            consumer.poll(TIMEOUT_S)
            consumer.commit(offsets=[TopicPartition("t", 0, 1)], asynchronous=False)
            consumer.close()


def tables(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables."""
    db = sqlite3.connect(path)
    try:
        db.text_factory = bytes
        names = [
            name.decode()
            for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type='table'")
        ]
        return {name: db.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}  # noqa: S608
    finally:
        db.close()


async def _start(directory: Path) -> None:
    broker = await Broker.open(BrokerOptions(str(directory), "os"))
    await broker.close()


def sweep(
    source: Path, directory: Path, *, count: int | None, seed: int = 1, sealed: bool = True
) -> tuple[Counter[tuple[str, str]], list[str]]:
    """How starts ended when one bit was changed, by file, and what must not be. `count` bytes that
    are not 0 are tried, all of them without; `source` is put into `directory` for each."""
    ends: Counter[tuple[str, str]] = Counter()
    problems: list[str] = []
    rng = random.Random(seed)
    truth = None
    for name in FILES:
        if not (source / name).exists() or (name == SEAL and not sealed):
            continue
        data = (source / name).read_bytes()
        used = [at for at, byte in enumerate(data) if byte]  # most of a page is empty
        places = used if count is None else rng.sample(used, min(count, len(used)))
        for at in places:
            shutil.rmtree(directory, ignore_errors=True)
            shutil.copytree(source, directory)
            if not sealed:
                (directory / SEAL).write_bytes(b"")
            if truth is None:
                truth = _rows_after_a_start(source, directory.with_name("truth"))
            changed = bytearray(data)
            changed[at] ^= 1 << rng.randrange(8)
            (directory / name).write_bytes(changed)
            end = _end(directory, truth)
            ends[name, end] += 1
            if end.startswith("!") or (end == "changed rows" and sealed):
                problems.append(f"{name} at {at}: {end}")
    return ends, problems


def _rows_after_a_start(source: Path, directory: Path) -> dict[str, list[tuple[Any, ...]]]:
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(source, directory)
    asyncio.run(asyncio.wait_for(_start(directory), TIMEOUT_S))
    return tables(directory / "catalog.db")


def _end(directory: Path, truth: dict[str, list[tuple[Any, ...]]]) -> str:
    before = sorted(path.name for path in (directory / "topics").rglob("*.log"))
    try:
        asyncio.run(asyncio.wait_for(_start(directory), TIMEOUT_S))
    except OpenError as error:
        end = "refused by name" if "catalog" in str(error) else f"!refused without a name: {error}"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
        end = f"!{type(error).__name__}: {error}"
    else:
        end = "no difference" if tables(directory / "catalog.db") == truth else "changed rows"
    if sorted(path.name for path in (directory / "topics").rglob("*.log")) != before:
        end = f"!records were removed ({end})"
    return end
