"""confluent-kafka, which is librdkafka: the classic protocol and the next-generation one."""

import time
from collections.abc import Iterable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from proof.members.member import (
    HEARTBEAT_MS,
    POLL_RECORDS_MAX,
    POLL_S,
    SESSION_MS,
    Member,
)

__all__ = ["ConfluentMember"]

CLASSIC = {"session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": HEARTBEAT_MS}


class ConfluentMember(Member):
    consumer: Consumer

    def open(self) -> None:
        options = self.work.options
        self._sent: tuple[float, dict[int, int]] | None = None
        self.consumer = Consumer(
            {
                "bootstrap.servers": self.work.bootstrap,
                "group.id": self.work.group,
                "client.id": self.name,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "check.crcs": True,
                "reconnect.backoff.ms": 50,
                "reconnect.backoff.max.ms": 500,
                "log_level": 3,
                "error_cb": lambda error: self._tell("client", error),
                "on_commit": self._answered,
                **({} if options.get("group.protocol") == "consumer" else CLASSIC),
                **options,
            }
        )
        self.consumer.subscribe(
            [self.work.topic],
            on_assign=lambda _, given: self.assigned(one.partition for one in given),
            on_revoke=self._revoke,
            on_lost=lambda _, gone: self.revoked(one.partition for one in gone),
        )

    def poll(self) -> Iterable[tuple[int, int, bytes]]:
        for message in self.consumer.consume(POLL_RECORDS_MAX, POLL_S):
            error = message.error()
            if error is not None:
                self._tell("poll", error)
                continue
            yield message.partition(), message.offset(), message.value()

    def commit(self, offsets: dict[int, int]) -> None:
        if self._sent is not None:
            self.not_committed(offsets)  # one at a time: the answers do not say which they answer
            return
        self._sent = time.monotonic(), offsets
        try:
            self.consumer.commit(offsets=self._places(offsets), asynchronous=True)
        except KafkaException as error:
            self._sent = None
            self.not_committed(offsets)
            self._tell("commit", error.args[0])

    def close(self) -> None:
        self._commit_now(self.uncommitted())
        self.consumer.close()
        self.revoked(list(self.owned))

    def _answered(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        sent, self._sent = self._sent, None
        if sent is None:
            return  # of a commit that was waited for
        self._judge_commit(sent, error, places)

    def _judge_commit(
        self,
        sent: tuple[float, dict[int, int]],
        error: KafkaError | None,
        places: Iterable[TopicPartition],
    ) -> None:
        failed = {place.partition: place.error for place in places if place.error is not None}
        if error is not None:
            failed = failed or dict.fromkeys(sent[1], error)
        done = {partition: n for partition, n in sent[1].items() if partition not in failed}
        if done:
            self.journal.committed(self.name, sent[0], done)
        for partition, its in failed.items():
            self._tell("commit", its)
            if partition in sent[1]:
                self.not_committed({partition: sent[1][partition]})

    def _revoke(self, _: Consumer, gone: list[TopicPartition]) -> None:
        partitions = {one.partition for one in gone}
        self._commit_now({at: n for at, n in self.uncommitted().items() if at in partitions})
        self.revoked(partitions)

    def _commit_now(self, new: dict[int, int]) -> None:
        if not new:
            return
        sent = time.monotonic(), new
        pending, self._sent = self._sent, None
        try:
            places = self.consumer.commit(offsets=self._places(new), asynchronous=False)
        except KafkaException as error:
            self._tell("commit", error.args[0])
            return
        finally:
            self._sent = pending
        self._judge_commit(sent, None, places or ())

    def _places(self, offsets: dict[int, int]) -> list[TopicPartition]:
        return [TopicPartition(self.work.topic, at, n) for at, n in offsets.items()]

    def _tell(self, where: str, error: Any) -> None:
        self.journal.failed(self.name, where, error.name(), error.str())
