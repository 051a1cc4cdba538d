"""A real broker inside a test: no process to start, no port to choose, nothing to clean up.

    from headrace.testing import running_broker

    with running_broker() as broker:
        producer = Producer({"bootstrap.servers": broker.bootstrap})

With pytest the fixture `headrace_broker` does the same. It is the broker that `headrace serve`
runs, in a thread of the test's process. What must not enter: fakes.
"""

from headrace.testing.embedded import RunningBroker, running_broker

__all__ = ["RunningBroker", "running_broker"]
