"""A real broker inside a test: no process to start, no port to choose, nothing to clean up.

    from headrace.testing import running_broker

    with running_broker() as broker:
        producer = Producer({"bootstrap.servers": broker.bootstrap})

With pytest the fixture `headrace_broker` does the same. It is the broker that `headrace serve`
runs, in a thread of the test's process. What must not enter: fakes.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.testing.embedded import RunningBroker, running_broker

__all__ = ["RunningBroker", "running_broker"]


def __getattr__(name: str) -> Any:
    """Import the broker when it is asked for: every pytest run loads this package's plugin."""
    if name in __all__:
        from headrace.testing import embedded

        return getattr(embedded, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
