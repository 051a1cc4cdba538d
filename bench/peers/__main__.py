"""`python -m bench.peers NAME`: a peer for hands, until Ctrl-C."""

import argparse
import signal
import sys
import tempfile
import threading

from bench.peers import PEERS, NotInstalled
from bench.systems import DURABILITIES, Durability, System


def main() -> None:
    """Start the peer as the command line says, print where it is, and wait."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--port", type=int, help="default: a free one")
    parser.add_argument("--dir", help="where its data directory is made (default: a temporary one)")
    parser.add_argument("--durability", choices=DURABILITIES, default="fsync")
    parser.add_argument("--install", action="store_true", help="fetch it first if need be")
    options = parser.parse_args()
    peer = PEERS[options.peer]
    peer.port = options.port
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        if options.install:
            print(peer.install(), file=sys.stderr)
        _serve(peer, options.dir, options.durability, ended)
    except NotInstalled as missing:
        sys.exit(str(missing))


def _serve(
    peer: System, directory: str | None, durability: Durability, ended: threading.Event
) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="headrace-peer-", dir=directory) as data,
        peer.start(data, durability) as running,
    ):
        print(f"{running.name} {running.version} on {running.bootstrap}: {running.policy}")
        print(f"pid {running.pids[0]}, data in {data}", flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
