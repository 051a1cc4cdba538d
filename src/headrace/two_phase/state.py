"""Which transaction was prepared, as a word that fits into a database's row."""

from typing import NamedTuple

__all__ = ["PreparedState"]


class PreparedState(NamedTuple):
    """The producer's id and its epoch, which no other transaction has (KIP-890).

    `str(state)` is Kafka's own form (KIP-939), `PRODUCER_ID:EPOCH`.
    """

    producer_id: int
    epoch: int

    def __str__(self) -> str:
        return f"{self.producer_id}:{self.epoch}"

    @classmethod
    def parse(cls, text: str) -> "PreparedState":
        """Raises ValueError for anything but what `str` gives."""
        producer_id, colon, epoch = text.partition(":")
        if not (colon and producer_id.isdecimal() and epoch.isdecimal() and text.isascii()):
            raise ValueError(f"{text!r} is no state of a prepared transaction")
        return cls(int(producer_id), int(epoch))
