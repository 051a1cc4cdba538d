"""`headrace serve` where it cannot serve: one clear line, exit status 1 or 2, no traceback."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.broker import broker as broker_module
from headrace.log.store import LogStore
from headrace.server.config import Address, ServerConfig
from headrace.server.serve import run

WAIT_S = 20
COMMAND = [sys.executable, "-m", "headrace", "serve", "--kafka", "127.0.0.1:0", "--data"]

Serve = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    def finished(data: Path, *options: str, **more: Any) -> "subprocess.CompletedProcess[str]":
        more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
        command = [*COMMAND, str(data), *options]
        return subprocess.run(command, text=True, timeout=WAIT_S, cwd=tmp_path, **more)

    return finished


def complaint(finished: "subprocess.CompletedProcess[str]") -> str:
    """What was said that is no log line."""
    said = [line for line in finished.stderr.splitlines() if " INFO headrace" not in line]
    assert len(said) == 1, finished.stderr
    return said[0]


def test_a_data_directory_that_is_a_file(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    refused = serve(file)
    assert refused.returncode == 1
    expected = f"headrace: the data directory {file} cannot be used: it is not a directory"
    assert complaint(refused) == expected
    refused = serve(file / "below")
    assert refused.returncode == 1
    assert complaint(refused).endswith("cannot be used: Not a directory")


@pytest.mark.parametrize("number", [13, 30])
def test_a_data_directory_that_cannot_be_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    """As on a read-only file system, or as another user; the tests may run as root."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number), f"{tmp_path}/headrace.lock")

    monkeypatch.setattr(LogStore, "open", refuse)
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: None)
    assert run(ServerConfig(str(tmp_path), Address("127.0.0.1", 0))) == 1
    why = f"{os.strerror(number)} ({tmp_path}/headrace.lock)"
    expected = f"headrace: the data directory {tmp_path} cannot be used: {why}\n"
    assert capsys.readouterr().err == expected


def test_a_port_that_is_taken(serve: Serve, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        refused = serve(tmp_path / "data", "--kafka", address)
    assert refused.returncode == 1
    assert complaint(refused) == f"headrace: cannot listen on {address}: Address already in use"


def test_a_configuration_file_that_is_missing(serve: Serve, tmp_path: Path) -> None:
    environment = os.environ | {"HEADRACE_CONFIG": "/no/such/file.toml"}
    refused = serve(tmp_path / "data", env=environment)
    assert refused.returncode == 2
    expected = "headrace: /no/such/file.toml: cannot be read: No such file or directory"
    assert complaint(refused) == expected


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
def test_standard_output_that_is_full(serve: Serve, tmp_path: Path) -> None:
    expected = "headrace: cannot write to standard output: No space left on device"
    with open("/dev/full", "w") as full:
        refused = serve(tmp_path / "data", stdout=full)
        assert (refused.returncode, complaint(refused)) == (1, expected)
        refused = serve(tmp_path / "data", "--check", stdout=full)
        assert (refused.returncode, complaint(refused)) == (1, expected)
    assert (tmp_path / "data/headrace.clean").exists()


def test_standard_output_whose_reader_has_gone(serve: Serve, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        refused = serve(tmp_path / "data", stdout=writing)
        assert refused.returncode == 1
        assert complaint(refused) == "headrace: cannot write to standard output: Broken pipe"
    finally:
        os.close(writing)


def test_standard_output_that_nobody_reads(serve: Serve, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, bytes(4096))
        os.set_blocking(writing, True)
        refused = serve(tmp_path / "data", stdout=writing)
        assert refused.returncode == 1
        assert complaint(refused) == "headrace: cannot write to standard output: nobody reads it"
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_hindrance(tmp_path: Path, closed: str) -> None:
    """Whoever closed them wants to hear nothing; no file of ours may get their numbers."""
    data = tmp_path / "data"
    shell = f'exec "$@" {closed}'
    process = subprocess.Popen(
        ["sh", "-c", shell, "sh", *COMMAND, str(data)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + WAIT_S
        while not _has_opened(process.pid):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for number in range(3):
            assert os.readlink(f"/proc/{process.pid}/fd/{number}") == os.devnull
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
    assert (data / "headrace.clean").exists()


def _has_opened(pid: int) -> bool:
    """Whether the process uses its catalog, before which signals are handled."""
    with contextlib.suppress(FileNotFoundError):  # one that was closed meanwhile
        descriptors = Path(f"/proc/{pid}/fd").iterdir()
        return any("catalog.db-shm" in os.readlink(descriptor) for descriptor in descriptors)
    return False


def test_a_stop_that_fails_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def close(store: LogStore) -> None:
        await real(store)
        raise OSError(5, "Input/output error")

    real = LogStore.close
    monkeypatch.setattr(LogStore, "close", close)
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: None)
    monkeypatch.setattr(broker_module, "keep_house", _stop_at_once)
    assert run(ServerConfig(str(tmp_path), Address("127.0.0.1", 0))) == 1
    assert "headrace: not stopped cleanly: the broker: the logs: " in capsys.readouterr().err


async def _stop_at_once(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
