"""confluent-kafka's share consumer (KIP-932): many members read one partition, record by record.

Every record is accepted, but some are given back the first time they come (`RELEASE_ONE_IN`), so
that redelivery is ordinary. What the broker has confirmed as accepted is written down.
"""

from collections.abc import Iterable
from typing import Any

from confluent_kafka import AcknowledgeType, KafkaException, ShareConsumer, TopicPartition

from proof.members.member import POLL_S, Member

__all__ = ["ShareMember"]

RELEASE_ONE_IN = 50


class ShareMember(Member):
    consumer: ShareConsumer

    def open(self) -> None:
        self._released: set[tuple[int, int]] = set()
        """What is given back and not confirmed yet."""
        self.consumer = ShareConsumer(
            {
                "bootstrap.servers": self.work.bootstrap,
                "group.id": self.work.group,
                "client.id": self.name,
                "share.acknowledgement.mode": "explicit",
                "check.crcs": True,
                # How long it waits for its farewell to be answered, should the broker die then.
                "socket.timeout.ms": 10_000,
                "reconnect.backoff.ms": 50,
                "reconnect.backoff.max.ms": 500,
                "log_level": 3,
                "error_cb": lambda error: self._tell("client", error),
                **self.work.options,
            }
        )
        self.consumer.set_acknowledgement_commit_callback(self._confirmed)
        self.consumer.subscribe([self.work.topic])

    def poll(self) -> Iterable[tuple[int, int, bytes]]:
        for message in self.consumer.poll(POLL_S):
            if message.error() is not None:
                self._tell("poll", message.error())
                continue
            record = message.partition(), message.offset(), message.value()
            # Told to the broker with the next poll or commit, after it was written down.
            if message.delivery_count() == 1 and int(record[2]) % RELEASE_ONE_IN == 0:
                self._released.add(record[:2])
                self.consumer.acknowledge(message, AcknowledgeType.RELEASE)
            else:
                self.consumer.acknowledge(message, AcknowledgeType.ACCEPT)
            yield record

    def commit_what_is_new(self) -> None:
        self.consumer.commit_async()

    def close(self) -> None:
        self.consumer.close()

    def failed(self, where: str, error: BaseException) -> None:
        if isinstance(error, KafkaException):
            self._tell(where, error.args[0])
        else:
            super().failed(where, error)

    def _confirmed(
        self, offsets: dict[TopicPartition, set[int]], error: KafkaException | None
    ) -> None:
        for place, acknowledged in offsets.items():
            given_back = {n for n in acknowledged if (place.partition, n) in self._released}
            self._released -= {(place.partition, n) for n in given_back}
            accepted = sorted(acknowledged - given_back)
            if error is not None:
                self._tell("commit", error.args[0])
            if accepted:
                event = "accepted" if error is None else "unconfirmed"
                self.journal.write(self.name, event, partition=place.partition, offsets=accepted)

    def _tell(self, where: str, error: Any) -> None:
        self.journal.failed(self.name, where, error.name(), error.str())
