"""Readers of raw sockets: some follow a partition's end, one begins at its beginning, and again."""

import contextlib
import threading

from headrace.testing.history import History
from headrace.testing.raw_client import RawClient, records_of
from headrace.wire.errors import ErrorCode
from proof.chaos.topics import PARTITIONS, PLAIN, sent_of

__all__ = ["Readers"]

TIMEOUT_S = 3.0
AGAIN_S = 0.05
OLD_BYTES_MAX = 200_000
PASSING = {
    ErrorCode.NONE,
    ErrorCode.KAFKA_STORAGE_ERROR,  # the partition is offline until the next start
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,  # ... or was so from the start
    ErrorCode.LEADER_NOT_AVAILABLE,
    ErrorCode.NOT_LEADER_OR_FOLLOWER,
}


class Readers:
    """What they see goes to `history`. Each checks that its own offsets go on and on."""

    def __init__(self, port: int, history: History) -> None:
        """`port` is the proxy's."""
        self._port = port
        self._history = history
        self.failures: list[str] = []
        self.seen_count = 0
        self.stopping = threading.Event()
        self.threads = [
            threading.Thread(target=self._run, args=(partition, again), daemon=True)
            for partition in range(PARTITIONS)
            for again in ([False, True] if partition == 0 else [False])
        ]
        for thread in self.threads:
            thread.start()

    def _run(self, partition: int, again: bool) -> None:
        name = f"reader of {partition}" + (" from the beginning" if again else "")
        try:
            offset = 0
            while not self.stopping.is_set():
                offset = self._follow(name, partition, 0 if again else offset)
                self.stopping.wait(AGAIN_S)
        except Exception as error:  # noqa: BLE001 - told in the report
            self.failures.append(f"{name}: {type(error).__name__}: {error}")

    def _follow(self, name: str, partition: int, offset: int) -> int:
        """On one connection; with it a reader from the beginning has all that there was."""
        with (
            contextlib.suppress(OSError),
            RawClient("127.0.0.1", self._port, timeout_s=TIMEOUT_S) as client,
        ):
            while not self.stopping.is_set():
                data = client.fetch(
                    PLAIN, partition, offset, max_wait_ms=200, partition_max_bytes=OLD_BYTES_MAX
                )
                if data.error_code not in PASSING:
                    self.failures.append(f"{name}: error {data.error_code} at {offset}")
                    self.stopping.wait(1)
                if data.error_code or (not data.records and name.endswith("beginning")):
                    return offset
                for record in records_of(data.records or b""):
                    if record.offset >= offset:
                        self._history.saw(
                            partition, record.offset, *sent_of(int(record.value or 0))
                        )
                        self.seen_count += 1
                        offset = record.offset + 1
        return offset
