"""Defaults < file < environment < command line, and no guessing."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.server.address import Address
from headrace.server.config import ConfigError, ServerConfig, load

WriteFile = Callable[[str], str]


@pytest.fixture
def write_file(tmp_path: Path) -> WriteFile:
    def write(text: str) -> str:
        path = tmp_path / "headrace.toml"
        path.write_text(text)
        return str(path)

    return write


def refusal(options: dict[str, str | list[str]], environment: dict[str, str]) -> str:
    with pytest.raises(ConfigError) as refused:
        load(options, environment)
    message = str(refused.value)
    assert "\n" not in message
    return message


def test_nothing_said_means_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load({}, {})
    assert config == ServerConfig(data_dir=str(tmp_path / "headrace-data"))
    assert config.kafka == Address("127.0.0.1", 9092)
    assert config.http == Address("127.0.0.1", 9080)
    assert config.durability == "fsync"
    assert config.node_id == 1
    assert not config.sources


def test_each_source_wins_over_the_ones_before_it(write_file: WriteFile) -> None:
    file = write_file('kafka = "f:1"\ndurability = "os"\nadvertise = "f:3"\n')
    environment = {"HEADRACE_KAFKA": "e:1", "HEADRACE_ADVERTISE": "e:3"}
    config = load({"config": file, "kafka": "c:1"}, environment)
    assert (str(config.kafka), str(config.advertise), config.durability) == ("c:1", "e:3", "os")
    assert config.sources == {
        "kafka": "--kafka",
        "advertise": "HEADRACE_ADVERTISE",
        "durability": file,
    }


def test_kafka_configurations_come_from_every_source_under_kafkas_names(
    write_file: WriteFile,
) -> None:
    file = write_file(
        "[broker]\nnum.partitions = 3\n'log.roll.ms' = 7\nauto.create.topics.enable = false\n"
        "[topic]\nretention.ms = 1\nsegment.bytes = 4096\n"
    )
    environment = {
        "HEADRACE_CONFIG": file,
        "HEADRACE_BROKER_NUM_PARTITIONS": "4",
        "HEADRACE_TOPIC_RETENTION_MS": "2",
        "HEADRACE_TOPIC_HEADRACE_RETAIN": "true",
    }
    config = load({"broker": ["num.partitions=5"], "topic": ["retention.ms = 3"]}, environment)
    assert config.broker == {
        "num.partitions": "5",
        "log.roll.ms": "7",
        "auto.create.topics.enable": "false",
    }
    assert config.topic == {
        "retention.ms": "3",
        "segment.bytes": "4096",
        "headrace.retain": "true",
    }
    assert config.sources["broker.num.partitions"] == "--broker"
    assert config.sources["topic.headrace.retain"] == "HEADRACE_TOPIC_HEADRACE_RETAIN"
    assert config.sources["topic.segment.bytes"] == file


def test_the_file_of_the_command_line_wins_over_that_of_the_environment(
    write_file: WriteFile,
) -> None:
    file = write_file('durability = "os"')
    assert load({"config": file}, {"HEADRACE_CONFIG": "/nowhere"}).durability == "os"


def test_a_relative_data_directory_in_a_file_is_beside_the_file(
    write_file: WriteFile, tmp_path: Path
) -> None:
    assert load({"config": write_file('data = "log"')}, {}).data_dir == str(tmp_path / "log")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('durabilty = "os"', "unknown key durabilty; did you mean durability?"),
        ("x = 1", "unknown key x; known: advertise, broker, data, durability, grpc, "),
        ("durability = true", 'durability: expected text, such as durability = "fsync|os", got'),
        ('durability = "disk"', 'durability: expected "fsync" or "os", got "disk"'),
        ('data = ""', "data: expected a directory"),
        ("kafka = 9092", 'kafka: expected text, such as kafka = "HOST:PORT", got the number 9092'),
        ('kafka = "::1:9092"', "kafka: expected an IPv6 address in brackets, such as [::1]:9092"),
        ('[kafka]\nlisten = "a:1"', "kafka: expected text"),
        ("broker = 1", "broker: expected a section [broker], got the number 1"),
        ("[broker]\nnum.partition = 1", "broker.num.partition: there is no broker configuration"),
        ("[broker]\nnum.partition = 1", "did you mean num.partitions?"),
        ("[broker]\nnum.partitions = 0", "must be a whole number from 1"),
        ("[broker]\nnum.partitions = 2026-01-01", "got a date or time"),
        ("[broker]\nlog.dirs = '/x'", "log.dirs says what the broker is"),
        ("[topic]\nretention = 1", "did you mean retention.ms?"),
        ("[topic]\ncleanup.policy = 'compakt'", "must be a list of compact and delete"),
        ("kafka = ", "not valid TOML"),
    ],
)
def test_what_a_file_gets_wrong_is_named_with_the_file_and_what_was_expected(
    write_file: WriteFile, text: str, message: str
) -> None:
    file = write_file(text)
    said = refusal({"config": file}, {})
    assert said.startswith(f"{file}: ")
    assert message in said


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.toml")
    assert refusal({"config": missing}, {}) == (
        f"{missing}: cannot be read: No such file or directory"
    )
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    assert refusal({"config": str(binary)}, {}).startswith(f"{binary}: not valid TOML")


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("HEADRACE_DURABILTY", "os", "unknown environment variable; did you mean HEADRACE_DURA"),
        ("HEADRACE_XYZXYZXYZXYZ", "os", "unknown environment variable; known: HEADRACE_ADVERTISE"),
        ("HEADRACE_KAFKA", "9092", "expected HOST:PORT, such as 127.0.0.1:9092"),
        ("HEADRACE_ADVERTISE", "a:0", "expected a port from 1 to 65535"),
        ("HEADRACE_ADVERTISE", "0.0.0.0:1", "expected an address that clients can connect to"),
        ("HEADRACE_BROKER_NUM_PARTITIONS", "many", "must be a whole number"),
    ],
)
def test_what_the_environment_gets_wrong_is_named_by_its_variable(
    variable: str, text: str, message: str
) -> None:
    said = refusal({}, {variable: text})
    assert said.startswith(f"{variable}: ")
    assert message in said


def test_variables_of_others_are_left_alone() -> None:
    kubernetes = {
        "HEADRACE_SERVICE_HOST": "10.0.0.1",
        "HEADRACE_SERVICE_PORT": "9092",
        "HEADRACE_SERVICE_PORT_KAFKA": "9092",
        "HEADRACE_PORT": "tcp://10.0.0.1:9092",
        "HEADRACE_PORT_9092_TCP": "tcp://10.0.0.1:9092",
        "HEADRACE_PORT_9092_TCP_ADDR": "10.0.0.1",
        "HEADRACE_BROKER_SERVICE_HOST": "10.0.0.2",
        "HEADRACE_BROKER_PORT_9092_TCP_PROTO": "tcp",
    }
    others = {"HEADRACE_BOOTSTRAP": "a:1", "HEADRACE_VENV": "/v", "HEADRACERS": "1", "PATH": "/"}
    assert not load({}, kubernetes | others).sources


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"durability": "disk"}, '--durability: expected "fsync" or "os", got "disk"'),
        ({"broker": ["num.partitions"]}, '--broker: expected NAME=VALUE, got "num.partitions"'),
        ({"broker": ["=3"]}, '--broker: expected NAME=VALUE, got "=3"'),
        ({"topic": ["retention.ms=x"]}, "--topic retention.ms: retention.ms=x: must be"),
        ({"kafak": "a:1"}, "--kafak: unknown option; did you mean kafka?"),
    ],
)
def test_what_the_command_line_gets_wrong_is_named_by_its_option(
    options: dict[str, str | list[str]], message: str
) -> None:
    assert refusal(options, {}).startswith(message)


def test_listening_everywhere_needs_an_address_for_clients() -> None:
    said = refusal({}, {"HEADRACE_KAFKA": "0.0.0.0:9092"})
    assert said.startswith("HEADRACE_KAFKA: ")
    assert "--advertise HOST:PORT" in said
    config = load({"kafka": "[::]:9092", "advertise": "b.example:9"}, {})
    assert config.advertised(9092) == Address("b.example", 9)


def test_without_an_advertised_address_clients_get_the_port_that_was_bound() -> None:
    config = load({"kafka": "localhost:0"}, {})
    assert config.advertised(40123) == Address("localhost", 40123)


def test_what_is_printed_is_a_file_that_means_the_same(write_file: WriteFile) -> None:
    options: dict[str, str | list[str]] = {
        "data": '/srv/a "quoted" \\ directory',
        "kafka": "[::1]:0",
        "advertise": "b:1",
        "broker": ["num.partitions=3"],
        "topic": ["retention.ms=-1", "headrace.retain=true"],
    }
    config = load(options, {})
    text = "\n".join(config.lines())
    tomllib.loads(text)
    assert "--broker" in text
    assert load({"config": write_file(text)}, {}) == config


@pytest.mark.parametrize(
    ("text", "address"),
    [("off", None), ("0.0.0.0:0", Address("0.0.0.0", 0))],  # noqa: S104
)
def test_the_http_door_is_somewhere_or_off(text: str, address: Address | None) -> None:
    config = load({"http": text}, {"HEADRACE_HTTP": "e:1"})
    assert config.http == address
    assert f'http = "{text}"  # --http' in config.lines()


@pytest.mark.parametrize(
    ("text", "address"),
    [("off", None), ("0.0.0.0:0", Address("0.0.0.0", 0))],  # noqa: S104
)
def test_the_grpc_door_is_somewhere_or_off(text: str, address: Address | None) -> None:
    config = load({"grpc": text}, {"HEADRACE_GRPC": "e:1"})
    assert config.grpc == address
    assert f'grpc = "{text}"  # --grpc' in config.lines()


def test_certificate_and_key_are_files_and_come_together(
    write_file: WriteFile, tmp_path: Path
) -> None:
    file = write_file('grpc_cert = "cert.pem"')
    config = load({"config": file, "grpc_key": "/key.pem"}, {})
    assert (config.grpc_cert, config.grpc_key) == (str(tmp_path / "cert.pem"), "/key.pem")
    assert config.sources["grpc_key"] == "--grpc-key"
    assert "grpc_key is not set" in refusal({"config": file}, {})
    alone = refusal({}, {"HEADRACE_GRPC_KEY": "/key.pem"})
    assert alone.startswith("HEADRACE_GRPC_KEY: TLS needs a certificate and its key")


def test_what_is_no_address_of_the_http_door_is_refused() -> None:
    message = refusal({}, {"HEADRACE_HTTP": "no"})
    assert message.startswith("HEADRACE_HTTP: expected HOST:PORT")
    assert message.endswith(', or off, got "no"')


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"workers": "0"}, '--workers: expected a number from 1 to 64, got "0"'),
        ({"workers": "many"}, '--workers: expected a number from 1 to 64, got "many"'),
        (
            {"workers": "3", "kafka": "h:9000", "http": "h:9003"},
            "--http: h:9003 is for HTTP of worker 0 and for Kafka clients of worker 2, too",
        ),
        (
            {"workers": "3", "http": "h:9088", "grpc": "h:9090"},
            "--grpc: h:9090 is for gRPC and for HTTP of worker 2, too",
        ),
        (
            {"workers": "2", "kafka": "h:65534"},
            "--kafka: Kafka clients of worker 1 would listen on port 65536, and 65535 is the last",
        ),
        (
            {"workers": "2", "advertise": "h:65534"},
            "--advertise: worker 1 would listen on port 65536, and 65535 is the last",
        ),
        ({"kafka": "h:9080", "http": "h:9080"}, "--http: h:9080 is for HTTP and for Kafka clients"),
    ],
)
def test_each_door_of_each_worker_has_a_port_of_its_own(options: dict[str, str], told: str) -> None:
    assert refusal(options, {}).startswith(told)


def test_ports_that_are_free_ones_do_not_meet() -> None:
    free = {"kafka": "h:0", "http": "h:0", "grpc": "h:0", "workers": "9"}
    assert load(free, {}).workers == 9
