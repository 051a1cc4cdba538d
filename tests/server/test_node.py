"""A node that cannot start leaves nothing open; one that stops closes all that it can."""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.catalog import catalog as catalog_module
from headrace.catalog.catalog import Catalog
from headrace.doors.http2.listener import GrpcListener
from headrace.doors.kafka.listener import Listener
from headrace.log.flusher import Flusher
from headrace.log.local import LocalLog
from headrace.log.resources import Resources
from headrace.server.config import Address, ServerConfig
from headrace.server.node import CloseError, Node, StartError
from headrace.wire.errors import ErrorCode, RequestError


@pytest.fixture
def config(tmp_path: Path) -> ServerConfig:
    any_port = Address("127.0.0.1", 0)
    return ServerConfig(data_dir=str(tmp_path / "data"), kafka=any_port, grpc=any_port)


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """Threads, and descriptors of this process, are after each test what they were before."""
    threads, files = threading.active_count(), len(os.listdir("/dev/fd"))
    yield
    assert threading.active_count() == threads, threading.enumerate()
    assert len(os.listdir("/dev/fd")) == files


async def start_and_stop(config: ServerConfig) -> None:
    node = await Node.start(config)
    await node.stop()


def fails(error: Exception) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


async def start_in_vain(config: ServerConfig, why: str) -> None:
    with pytest.raises(StartError, match=why):
        await Node.start(config)


def test_a_port_in_use_leaves_nothing_open(config: ServerConfig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = replace(config, kafka=Address("127.0.0.1", port))
        asyncio.run(start_in_vain(taken, f"cannot listen on 127.0.0.1:{port}: Address already"))
    asyncio.run(start_and_stop(config))


def test_a_damaged_catalog_leaves_nothing_open(config: ServerConfig) -> None:
    catalog = Path(config.data_dir, "catalog.db")
    catalog.parent.mkdir()
    catalog.write_bytes(b"no database" * 1000)
    asyncio.run(start_in_vain(config, "cannot use the catalog .*: file is not a database"))
    catalog.unlink()
    asyncio.run(start_and_stop(config))


def test_a_lock_that_is_no_file_leaves_nothing_open(config: ServerConfig) -> None:
    lock = Path(config.data_dir, "headrace.lock")
    lock.mkdir(parents=True)
    asyncio.run(start_in_vain(config, "headrace.lock"))
    lock.rmdir()
    asyncio.run(start_and_stop(config))


def test_a_directory_in_use_is_left_to_who_uses_it(config: ServerConfig) -> None:
    async def scenario() -> None:
        node = await Node.start(config)
        await start_in_vain(config, f"in use by process {os.getpid()}")
        assert node.broker.catalog.cluster_id
        await node.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("place", "name", "error", "why"),
    [
        (Flusher, "__init__", OSError(24, "Too many open files"), "Too many"),
        (catalog_module, "_cluster_id", RequestError(ErrorCode.NONE, "disk full"), "full"),
        (Listener, "bind", OSError(98, "taken"), "taken"),
    ],
)
def test_whatever_fails_at_the_start_nothing_stays_open(
    config: ServerConfig,
    monkeypatch: pytest.MonkeyPatch,
    place: Any,
    name: str,
    error: Exception,
    why: str,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(place, name, fails(error))
        asyncio.run(start_in_vain(config, why))
    asyncio.run(start_and_stop(config))


def test_a_certificate_that_is_none_leaves_nothing_open(
    config: ServerConfig, tmp_path: Path
) -> None:
    file = tmp_path / "cert.pem"
    asyncio.run(start_in_vain(_with_tls(config, file), "cannot serve TLS with .*: No such file"))
    file.write_text("no certificate")
    asyncio.run(start_in_vain(_with_tls(config, file), "cannot serve TLS with .*cert.pem"))
    asyncio.run(start_and_stop(config))


def _with_tls(config: ServerConfig, file: Path) -> ServerConfig:
    return replace(config, grpc_cert=str(file), grpc_key=str(file))


def test_a_mistake_at_the_start_is_not_hidden_and_leaves_nothing_open(
    config: ServerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Listener, "open", fails(ZeroDivisionError()))
        with pytest.raises(ZeroDivisionError):
            asyncio.run(Node.start(config))
    asyncio.run(start_and_stop(config))


@pytest.mark.parametrize(
    ("place", "name", "what"),
    [
        (Listener, "close", "the Kafka door"),
        (GrpcListener, "close", "the gRPC door"),
        (Catalog, "close", "the catalog"),
        (LocalLog, "close", "the logs"),
    ],
)
def test_what_cannot_be_closed_is_named_and_the_rest_is_closed(
    config: ServerConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: Any,
    name: str,
    what: str,
) -> None:
    real = getattr(place, name)

    async def fail(part: Any) -> None:
        await real(part)
        raise OSError(5, "Input/output error")

    async def scenario() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(place, name, fail)
            node = await Node.start(config)
            await node.broker.topics.create("t", 2, {})
            with pytest.raises(CloseError, match=f"{what}: .*Input/output error"):
                await node.stop()
            await node.stop()
        again = await Node.start(config)
        assert again.broker.store.was_clean == (place is not LocalLog)
        await again.stop()

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())
    assert f"closing {what} failed" in caplog.text


def test_threads_that_do_not_end_keep_nobody_from_the_directory(
    config: ServerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Resources.close

    def fail(resources: Resources) -> None:
        real(resources)
        raise RuntimeError("a thread is stuck")

    async def scenario() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Resources, "close", fail)
            node = await Node.start(config)
            with pytest.raises(CloseError, match="stuck"):
                await node.stop()
        await start_and_stop(config)

    asyncio.run(scenario())
