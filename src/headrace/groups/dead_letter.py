"""Why a share group gives a record up, in the words that its dead letter carries."""

from enum import Enum

__all__ = ["DeadLetterReason"]


class DeadLetterReason(Enum):
    """The value is what stands in the header `__dlq.errors.message`."""

    REJECTED = "rejected by a consumer"
    DELIVERIES_USED_UP = "delivered as often as the group allows, and never accepted"

    @classmethod
    def of_restored(cls, delivery_count: int, deliveries_max: int) -> "DeadLetterReason":
        """Of a record whose archiving a restart interrupted; the reason itself is not kept."""
        return cls.DELIVERIES_USED_UP if delivery_count >= deliveries_max else cls.REJECTED
