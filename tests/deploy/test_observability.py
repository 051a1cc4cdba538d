"""The board and the alert rules that are shipped name metrics that a real broker has."""

import json
import re
import socket
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from confluent_kafka import Consumer, Producer, ShareConsumer
from prometheus_client.parser import text_string_to_metric_families

from headrace.groups.dead_letter import DeadLetterReason
from headrace.testing import running_broker

SHIPPED = Path(__file__).parents[2] / "deploy" / "observability"
NAME = re.compile(r"\b(?:headrace|kafka|process)_[a-z0-9_]+\b")


@pytest.fixture(scope="module")
def board() -> Any:
    return json.loads((SHIPPED / "grafana-board.json").read_text())


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((SHIPPED / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


async def _send_dead_letters(node: Any) -> None:
    topic = "dlq.t"
    configs = {
        "errors.deadletterqueue.topic.name": topic,
        "errors.deadletterqueue.copy.record.enable": "true",
    }
    await node.broker.topics.create(topic, 1, {"errors.deadletterqueue.group.enable": "true"})
    await node.broker.group_configs.alter("s", lambda _: configs, in_use=False)
    for source in ("gone", topic):  # written without its record, and lost
        await node.broker.dead_letters.send("s", source, 0, [(0, 0, 1)], DeadLetterReason.REJECTED)


def _call_and_stumble(door: Any) -> None:
    """A gRPC call that ends, and a client that does not speak HTTP/2."""
    with grpc.insecure_channel(str(door)) as channel:
        channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10)
    with socket.create_connection(door, timeout=10) as lost:
        lost.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while lost.recv(1000):
            pass


class _Door:
    def durable(self, messages: int) -> None: ...
    def failed(self, error: Exception) -> None: ...


async def _open_stream(node: Any) -> None:
    await node.broker.streams.open("t", _Door())


@pytest.fixture(scope="module")
def known() -> set[str]:
    """The sample and family names of a broker that has produced, consumed and refused."""
    import urllib.request

    with running_broker(durability="fsync", http=True, grpc=True) as broker:
        broker.create_topic("t", 1, {"max.message.bytes": "500"})
        broker.create_topic("compacted", 1, {"cleanup.policy": "compact"})
        broker.call(_send_dead_letters)
        _call_and_stumble(broker.node.grpc_address)
        broker.call(_open_stream)
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        producer.produce("t", b"x" * 1000)
        producer.flush(10)
        producer.produce("t", b"x")
        assert producer.flush(10) == 0
        consumer = Consumer(
            {
                "bootstrap.servers": broker.bootstrap,
                "group.id": "g",
                "auto.offset.reset": "earliest",
            }
        )
        consumer.subscribe(["t"])
        while consumer.poll(0.2) is None:
            pass  # the test's own time limit ends it
        consumer.commit(asynchronous=False)
        transactional = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": "x"})
        transactional.init_transactions(10)
        transactional.begin_transaction()
        transactional.produce("t", b"x")
        assert transactional.flush(10) == 0
        sharing = ShareConsumer({"bootstrap.servers": broker.bootstrap, "group.id": "shared"})
        sharing.subscribe(["t"])
        text = ""
        while "headrace_share_acquired_records{" not in text:
            sharing.poll(0.3)
            with urllib.request.urlopen(broker.http_url + "/metrics", timeout=10) as answer:  # noqa: S310
                text = answer.read().decode()
        sharing.close()
        consumer.close()
    names = set()
    for family in text_string_to_metric_families(text):
        names.update(sample.name for sample in family.samples)
        assert family.samples, f"{family.name} has no sample: the board could not be checked"
    return names


def metrics_in(expression: str) -> set[str]:
    return set(NAME.findall(re.sub(r'"[^"]*"', "", expression)))


def test_every_metric_of_the_board_is_one_that_a_broker_has(board, known):
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    expressions += [variable.get("definition", "") for variable in board["templating"]["list"]]
    named = set().union(*map(metrics_in, expressions))
    assert len(named) > 15
    assert named - known == set()


def test_every_metric_of_the_rules_is_one_that_a_broker_has(rules, known):
    named = set().union(*(metrics_in(rule["expr"]) for rule in rules))
    assert len(named) > 10
    assert named - known == set()


def test_the_readme_names_metrics_that_exist(known):
    text = (SHIPPED / "README.md").read_text()
    named = {name for name in NAME.findall(text) if not name.startswith("headrace_fsync")}
    assert named - known == set()


def test_panels_are_complete_and_do_not_overlap(board):
    places = set()
    for panel in board["panels"]:
        assert panel["title"]
        assert panel["description"]
        assert panel["targets"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & places, panel["title"]
        places |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_rules_say_how_bad_it_is_and_what_it_means(rules):
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        assert rule["expr"].count("(") == rule["expr"].count(")")
