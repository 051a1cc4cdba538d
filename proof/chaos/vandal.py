"""`python -m proof.chaos.vandal PORT SEED`: sends what no client would, until it is killed.

Random bytes; frames of impossible lengths, or that never end; requests of all kinds with bytes
changed; counts that promise billions; record batches that claim much or unpack to a lot.
"""

import contextlib
import random
import struct
import sys
import time

from headrace.testing.raw_client import RawClient, batch, fetch_request, frame, produce_request
from headrace.wire.compression import Codec

__all__ = ["main"]

TIMEOUT_S = 1.0
PAUSE_S = 0.01
APIS = range(100)
BOMB_BYTES = 64 << 20
CODECS = (Codec.GZIP, Codec.LZ4, Codec.ZSTD)


class Vandal:
    def __init__(self, port: int, seed: str) -> None:
        self._port = port
        self._chance = random.Random(seed)
        self._bombs = [batch([bytes(BOMB_BYTES)], codec=codec) for codec in CODECS]

    def act(self) -> None:
        """Once, on a connection of its own. Raises OSError."""
        what = self._chance.choice(
            [self._noise, self._lengths, self._changed, self._header_only, self._bomb, self._many]
        )
        with RawClient("127.0.0.1", self._port, timeout_s=TIMEOUT_S) as client:
            what(client)
            with contextlib.suppress(OSError):
                client.socket.recv(4096)

    def _noise(self, client: RawClient) -> None:
        client.send(self._chance.randbytes(self._chance.randint(1, 5000)))

    def _lengths(self, client: RawClient) -> None:
        length = self._chance.choice([0, -1, 1, 3, 2**31 - 1, -(2**31), 99 << 20, 101 << 20])
        client.send(struct.pack(">i", length) + bytes(self._chance.randint(0, 100_000)))

    def _header_only(self, client: RawClient) -> None:
        key, version = self._chance.choice(APIS), self._chance.randint(-1, 20)
        head = struct.pack(">hhih", key, version, 1, 0)
        client.send(frame(head + self._chance.randbytes(self._chance.randint(0, 300))))

    def _changed(self, client: RawClient) -> None:
        good = self._chance.choice(
            [
                client.framed(produce_request("squeezed", 0, batch([bytes(500)])), 12),
                client.framed(fetch_request("plain", 0, 0), 12),
            ]
        )
        bad = bytearray(good)
        for _ in range(self._chance.randint(1, 8)):
            bad[self._chance.randrange(4, len(bad))] = self._chance.randrange(256)
        client.send(bytes(bad))

    def _bomb(self, client: RawClient) -> None:
        bomb = produce_request("squeezed", 0, self._chance.choice(self._bombs))
        client.send(client.framed(bomb, 12))

    def _many(self, client: RawClient) -> None:
        """An array that claims to be as long as an int can say."""
        key = self._chance.choice([0, 1, 2, 3, 8, 9, 19, 24, 68])
        head = struct.pack(">hhih", key, self._chance.randint(0, 9), 7, 0)
        claim = self._chance.choice([b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff\x07"])
        client.send(frame(head + b"\0" + claim * self._chance.randint(1, 50)))


def main() -> None:
    vandal = Vandal(int(sys.argv[1]), sys.argv[2])
    while True:
        with contextlib.suppress(OSError):
            vandal.act()
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
