"""Which errors of a client count against the broker."""

import pytest

from proof.errors import AFTERMATH_S, Sort, sort_of

OUTAGES = [(100.0, 101.0)]


def failed(t: float, where: str, error: str) -> dict[str, object]:
    return {"t": t, "member": "a", "event": "failed", "where": where, "error": error}


@pytest.mark.parametrize(
    ("t", "where", "error", "sort"),
    [
        (100.5, "client", "_TRANSPORT", Sort.TRANSPORT),
        (101 + AFTERMATH_S / 2, "poll", "KafkaConnectionError", Sort.TRANSPORT),
        (99.0, "client", "_TRANSPORT", Sort.UNEXPECTED),
        (102 + AFTERMATH_S, "client", "_TRANSPORT", Sort.UNEXPECTED),
        (50.0, "commit", "ILLEGAL_GENERATION", Sort.MEMBERSHIP),
        (50.0, "poll", "ILLEGAL_GENERATION", Sort.UNEXPECTED),
        (100.5, "poll", "OFFSET_OUT_OF_RANGE", Sort.UNEXPECTED),
    ],
)
def test_an_error_is_excused_only_where_kafka_would_show_it_too(t, where, error, sort):
    assert sort_of(failed(t, where, error), OUTAGES) is sort
