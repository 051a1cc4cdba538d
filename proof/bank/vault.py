"""The balances of a partition's accounts, read back from where tellers write them."""

import time

from confluent_kafka import Consumer, KafkaError, TopicPartition

from proof.bank.records import ACCOUNTS, Account, decoded

__all__ = ["read_accounts"]

READ_S_MAX = 45.0


def read_accounts(bootstrap: str, partition: int) -> dict[int, Account]:
    """All that was committed. Raises TimeoutError.

    The end is asked for with read_uncommitted: a predecessor's transaction may be decided, as the
    offsets of its orders say, and its end not yet be written in this partition. So what stood there
    open is waited for.
    """
    deadline = time.monotonic() + READ_S_MAX
    place = TopicPartition(ACCOUNTS, partition, 0)
    end = _end(bootstrap, place, deadline)
    accounts: dict[int, Account] = {}
    at = 0
    consumer = _consumer(bootstrap, "read_committed")
    try:
        consumer.assign([place])
        while at < end:
            message = consumer.poll(0.5)
            if message is not None and message.error() is None:
                facts = decoded(message.value() or b"")
                accounts[facts["account"]] = Account(facts["version"], facts["balance"])
                at = int(message.offset() or 0) + 1
            elif message is not None and message.error().code() == KafkaError._PARTITION_EOF:
                at = max(at, int(message.offset() or 0))
            elif time.monotonic() > deadline:
                raise TimeoutError(f"accounts of partition {partition}: {at} of {end} came")
    finally:
        consumer.close()
    return accounts


def _end(bootstrap: str, place: TopicPartition, deadline: float) -> int:
    consumer = _consumer(bootstrap, "read_uncommitted")
    try:
        left = max(1.0, deadline - time.monotonic())
        end: int = consumer.get_watermark_offsets(place, left)[1]
        return end
    finally:
        consumer.close()


def _consumer(bootstrap: str, isolation: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bank-vault",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": isolation,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
        }
    )
