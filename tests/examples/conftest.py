"""A PostgreSQL of the tests' own, where its programs are installed."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

START_S_MAX = 30.0
ACCOUNTS = ("postgres", "nobody")
"""Who runs the server when the tests run as root, which it refuses."""


def server_programs() -> Path | None:
    """The directory of `initdb` and `postgres`. Debian keeps them out of the path."""
    for place in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (place / "initdb").exists():
            return place
    found = shutil.which("initdb")
    return Path(found).parent if found else None


def unprivileged() -> dict[str, Any]:
    """For subprocess: as whom the server runs."""
    if os.getuid() != 0:
        return {}
    import pwd

    for name in ACCOUNTS:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    pytest.skip("PostgreSQL does not run as root, and there is no other account")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A connection string of an empty server that listens on a socket in a directory of its own."""
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
    programs = server_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    who = unprivileged()
    # Not pytest's directory: its parents are closed to others, and a socket's path is short.
    directory = tempfile.mkdtemp(prefix="headrace-pg-")
    if who:
        os.chown(directory, who["user"], who["group"])
    data = f"{directory}/data"
    common: dict[str, Any] = {**who, "cwd": directory, "stderr": subprocess.STDOUT}
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        made = subprocess.run(
            [programs / "initdb", "-D", data, "-U", "headrace", "-A", "trust", "-E", "UTF8", "-N"],
            **{**common, "stdout": subprocess.PIPE},
        )
        assert made.returncode == 0, made.stdout.decode()
        log = stack.enter_context(open(f"{directory}/log", "wb"))
        options = ["listen_addresses=", "fsync=off", "max_prepared_transactions=8"]
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-k", directory]
            + [part for option in options for part in ("-c", option)],
            **{**common, "stdout": log},
        )
        stack.callback(_stop, server)
        address = f"host={directory} user=headrace dbname=postgres"
        _wait(psycopg, address, server, Path(log.name))
        yield address


def _wait(psycopg: Any, address: str, server: Any, log: Path) -> None:
    deadline = time.monotonic() + START_S_MAX
    while True:
        try:
            psycopg.connect(address).close()
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return


def _stop(server: Any) -> None:
    server.send_signal(signal.SIGINT)  # "fast": sessions are ended
    try:
        server.wait(20)
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
