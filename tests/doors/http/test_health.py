"""/healthz and /readyz, and what is said about paths that are not there."""

from types import SimpleNamespace
from typing import Any

from headrace.wire.errors import ErrorCode, RequestError


def test_a_running_broker_is_healthy_and_ready(seen_broker, get):
    assert get(seen_broker, "/healthz")[:2] == (200, "ok\n")
    assert get(seen_broker, "/readyz")[:2] == (200, "ready\n")
    assert "/metrics" in get(seen_broker, "/").text


def test_other_paths_are_not_found(seen_broker, get):
    status, text, _ = get(seen_broker, "/metric")
    assert status == 404
    assert "/metrics" in text


def test_a_failed_catalog_and_a_closed_door_are_not_ready(seen_broker, get, monkeypatch):
    catalog = seen_broker.node.broker.catalog

    async def fail() -> None:
        raise RequestError(ErrorCode.KAFKA_STORAGE_ERROR, "disk full")

    seen_broker.node.broker.stats.catalog_is_failed = True
    monkeypatch.setattr(catalog, "probe", fail)
    assert get(seen_broker, "/readyz")[:2] == (503, "the catalog cannot be written\n")
    seen_broker.node.http.routes.is_ready = False
    status, text, _ = get(seen_broker, "/readyz")
    assert (status, text.split(";")[0]) == (503, "not accepting clients")
    assert get(seen_broker, "/healthz").status == 200


def test_a_catalog_that_works_again_is_found_out_by_asking(seen_broker, get, until):
    stats = seen_broker.node.broker.stats
    stats.catalog_is_failed = True
    assert get(seen_broker, "/readyz")[:2] == (200, "ready\n")
    until(lambda: not stats.catalog_is_failed, "the report of the probe")


def test_offline_partitions_are_named_and_do_not_make_it_unready(seen_broker, get, scrape):
    seen_broker.create_topic("t", 3)

    async def fail(node: Any) -> None:
        node.broker.topics.partition("t", 1).log.go_offline("the disk is gone")

    seen_broker.call(fail)
    assert get(seen_broker, "/readyz")[:2] == (200, "ready\noffline: t-1\n")
    found = scrape(seen_broker)
    assert (found("headrace_partitions"), found("headrace_offline_partitions")) == (3, 1)
    assert found("headrace_log_end_offset", topic="t", partition=2) == 0
    assert found("headrace_log_end_offset", topic="t", partition=1) is None


def test_many_offline_partitions_are_not_all_named(seen_broker, get):
    many = [(f"t{number}", 0) for number in range(250)]

    async def can() -> bool:
        return True

    seen_broker.node.http.routes._broker = SimpleNamespace(
        can_write_catalog=can,
        topics=SimpleNamespace(offline_partitions=lambda: many),
    )
    lines = get(seen_broker, "/readyz").text.splitlines()
    assert len(lines) == 102
    assert lines[-1] == "offline: 150 more"
