"""The pytest plugin: `headrace_broker`, registered by the package's entry point.

Imported by every pytest run where headrace is installed, so it imports nothing until it is used.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from headrace.testing.embedded import RunningBroker

__all__ = ["headrace_broker"]


@pytest.fixture
def headrace_broker() -> "Iterator[RunningBroker]":
    """A real broker on a free port of 127.0.0.1, empty, for this test alone."""
    from headrace.testing.embedded import running_broker

    with running_broker() as broker:
        yield broker
