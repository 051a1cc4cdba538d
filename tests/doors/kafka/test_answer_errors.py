"""The error codes that are counted."""

import importlib

import pytest

from headrace.doors.kafka.answer_errors import LOOKED_AT_MAX, errors_in
from headrace.doors.kafka.registry import apis
from headrace.wire.messages.k03_metadata import (
    MetadataResponse,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from headrace.wire.messages.k12_heartbeat import HeartbeatResponse


def test_codes_are_found_at_every_depth():
    answer = MetadataResponse(
        topics=[
            MetadataResponseTopic(error_code=3),
            MetadataResponseTopic(partitions=[MetadataResponsePartition(error_code=56)]),
        ]
    )
    assert errors_in(answer) == [3, 56]
    assert errors_in(HeartbeatResponse(error_code=27)) == [27]
    assert errors_in(HeartbeatResponse()) == []


def test_a_large_answer_is_not_walked_to_its_end():
    topics = [MetadataResponseTopic(error_code=3) for _ in range(10 * LOOKED_AT_MAX)]
    assert len(errors_in(MetadataResponse(topics=topics))) < LOOKED_AT_MAX


@pytest.mark.parametrize("api", apis().values(), ids=lambda api: api.key.name)
def test_every_answer_that_is_served_can_be_looked_at(api):
    module = importlib.import_module(api.request.__module__)
    answer = getattr(module, api.request.__name__.replace("Request", "Response"))
    assert errors_in(answer()) == []
