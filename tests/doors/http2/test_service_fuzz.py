"""Damaged conversations with the services: see `service_fuzzer`."""

from typing import Any

import grpc

from headrace.testing import running_broker
from tests.doors.http2 import service_fuzzer


def test_damaged_messages_are_refused_and_disturb_nobody(caplog: Any) -> None:
    with running_broker(grpc=True) as broker:
        seen = service_fuzzer.run_all(broker, service_fuzzer.SEEDS)
    assert {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT} <= seen
    assert not [record for record in caplog.records if record.exc_info], "no mistake of ours"
