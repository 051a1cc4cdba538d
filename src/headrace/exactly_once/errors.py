"""Why the loop ends by itself. `kafka_error` is librdkafka's cause, where there is one."""

from confluent_kafka import KafkaError

__all__ = ["Abortable", "Broken", "ExactlyOnceError", "Fenced", "Stalled", "Undeliverable"]


class ExactlyOnceError(Exception):
    """All of the below. What was not committed is aborted or will be, and is read again by whoever
    has the partitions next."""

    def __init__(self, what: str, kafka_error: KafkaError | None = None) -> None:
        super().__init__(f"{what}: {kafka_error.str()}" if kafka_error is not None else what)
        self.kafka_error = kafka_error


class Fenced(ExactlyOnceError):
    """Somebody else goes on in this one's place: a process with the same `transactional_id` or the
    same `group.instance.id`, or the broker, because a transaction took longer than
    `transaction.timeout.ms`. Start again, if this is not the one that was replaced."""


class Stalled(ExactlyOnceError):
    """Nothing was committed for `stall_s_max` though there was something to do, or nothing came
    though there was something to read, or the brokers did not answer for so long."""


class Undeliverable(ExactlyOnceError):
    """An output that the broker will never take: too large, no such topic, not allowed. Its batch
    was aborted and comes again, should the loop be run again."""


class Broken(ExactlyOnceError):
    """An error that librdkafka calls fatal, or that is neither retriable nor cured by an abort. The
    loop cannot be used any more."""


class Abortable(ExactlyOnceError):
    """The transaction must be aborted and can be tried again. Never leaves the package."""
