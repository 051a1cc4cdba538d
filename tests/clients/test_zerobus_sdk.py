"""The official Zerobus SDK, unchanged, writes to topics; Kafka consumers read what it wrote."""

import asyncio
import json
import socket
import ssl
import time
from io import BytesIO

import pytest

from headrace.testing import running_broker

shared = pytest.importorskip("zerobus.sdk.shared", reason="the official SDK is not installed")
TABLE = "main.default.events"


@pytest.fixture(autouse=True)
def certificates(monkeypatch):
    """The SDK loads the system's certificates even where it needs none."""
    cafile = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    monkeypatch.setenv("SSL_CERT_FILE", cafile)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture(scope="module")
def ingest():
    """A broker with all its doors."""
    with running_broker(
        grpc=True, http=True, broker={"errors.deadletterqueue.auto.create.topics.enable": "true"}
    ) as broker:
        yield broker


@pytest.fixture(scope="module")
def tables():
    """Names nobody had before."""
    return iter(f"{TABLE}_{number}" for number in range(1000))


@pytest.fixture
def table(tables):
    return next(tables)


@pytest.fixture
def free_port():
    """A port that was free just now, for a server that is to come back on it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


class Headers(shared.HeadersProvider):
    def __init__(self, table):
        self.table = table

    def get_headers(self):
        return [
            ("authorization", "Bearer any"),
            ("x-databricks-zerobus-table-name", self.table),
        ]


def sdk_of(target, unity="", kind="sync"):
    module = __import__(f"zerobus.sdk.{kind}", fromlist=["ZerobusSdk"])
    return module.ZerobusSdk(f"http://{target}", unity, application_name="tests/1")


def options(**wanted):
    return shared.StreamConfigurationOptions(
        **{"recovery_backoff_ms": 100, "flush_timeout_ms": 20_000, **wanted}
    )


def open_stream(target, table, properties=None, **wanted):
    return sdk_of(target).create_stream(
        table_properties=properties or shared.TableProperties(table),
        headers_provider=Headers(table),
        options=options(**wanted),
    )


def read(bootstrap, topic, wanted=None, timeout_s=20):
    """(partition, value, headers) of all records, in order, once there are as many as wanted."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "reader", "enable.partition.eof": False}
    )
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    places = [TopicPartition(topic, number, 0) for number in partitions]
    ends = {p.partition: consumer.get_watermark_offsets(p, 10)[1] for p in places}
    wanted = sum(ends.values()) if wanted is None else wanted
    consumer.assign(places)
    found = []
    deadline = time.monotonic() + timeout_s
    while len(found) < wanted and time.monotonic() < deadline:
        for message in consumer.consume(1000, 0.2):
            assert message.error() is None, message.error()
            found.append((message.partition(), message.value(), dict(message.headers() or ())))
    consumer.close()
    return found


def values(bootstrap, topic, wanted=None):
    return [value for _, value, _ in read(bootstrap, topic, wanted)]


def descriptor():
    """A message class `Row` with `id` and `name`, as protoc makes one."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="row.proto", package="tests", syntax="proto2")
    row = file.message_type.add(name="Row")
    row.field.add(name="id", number=1, type=3, label=1)
    row.field.add(name="name", number=2, type=9, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tests.Row"))


AVRO = json.dumps({"type": "record", "name": "Row", "fields": [{"name": "id", "type": "long"}]})


def test_json_single_and_batch(ingest, table):
    stream = open_stream(ingest.grpc_target, table)
    for number in range(500):
        offset = stream.ingest_record_offset({"id": number})
    assert offset == 499
    stream.wait_for_offset(offset)
    batch = [json.dumps({"id": number}) for number in range(500, 900)]
    assert stream.ingest_records_offset(batch) == 500
    stream.ingest_record_offset({"id": 900})
    stream.flush()
    stream.close()
    assert [json.loads(v)["id"] for v in values(ingest.bootstrap, table)] == list(range(901))


def test_proto_single_and_batch(ingest, table):
    row = descriptor()
    stream = open_stream(ingest.grpc_target, table, shared.TableProperties(table, row.DESCRIPTOR))
    stream.ingest_record_offset(row(id=0, name="zero"))
    stream.ingest_records_offset([row(id=n, name="x").SerializeToString() for n in (1, 2)])
    stream.flush()
    stream.close()
    assert [row.FromString(v).id for v in values(ingest.bootstrap, table)] == [0, 1, 2]


def test_avro_single_and_batch(ingest, table):
    fastavro = pytest.importorskip("fastavro")
    properties = shared.TableProperties(table, avro_schema=AVRO)
    stream = open_stream(ingest.grpc_target, table, properties)
    stream.ingest_record_offset({"id": 0})
    stream.ingest_records_offset([{"id": 1}, {"id": 2}])
    stream.flush()
    stream.close()
    schema = fastavro.parse_schema(json.loads(AVRO))
    found = values(ingest.bootstrap, table)
    assert [fastavro.schemaless_reader(BytesIO(v), schema)["id"] for v in found] == [0, 1, 2]


def test_arrow_batches_are_records_that_can_be_read_alone(ingest, table):
    pa = pytest.importorskip("pyarrow")
    schema = pa.schema([("id", pa.int64()), ("name", pa.string())])
    stream = sdk_of(ingest.grpc_target).create_arrow_stream_with_headers_provider(
        table, schema, Headers(table)
    )
    for start in (0, 1000, 2000):
        ids = list(range(start, start + 1000))
        batch = pa.record_batch([ids, [str(n) for n in ids]], schema=schema)
        offset = stream.ingest_batch(batch)
    stream.wait_for_offset(offset)
    stream.flush()
    stream.close()
    found = values(ingest.bootstrap, table)
    read_back = [pa.ipc.open_stream(value).read_all() for value in found]
    assert pa.concat_tables(read_back).column("id").to_pylist() == list(range(3000))


def test_asyncio_json_and_arrow(ingest, tables):
    first, second = next(tables), next(tables)
    pa = pytest.importorskip("pyarrow")

    async def run():
        sdk = sdk_of(ingest.grpc_target, kind="aio")
        stream = await sdk.create_stream(
            table_properties=shared.TableProperties(first),
            headers_provider=Headers(first),
            options=options(),
        )
        for number in range(100):
            await stream.ingest_record_offset({"id": number})
        last = await stream.ingest_records_offset([json.dumps({"id": n}) for n in (100, 101)])
        await stream.wait_for_offset(last)
        await stream.close()
        schema = pa.schema([("id", pa.int64())])
        arrow = await sdk.create_arrow_stream_with_headers_provider(second, schema, Headers(second))
        await arrow.ingest_batch(pa.record_batch([[1, 2, 3]], schema=schema))
        await arrow.flush()
        await arrow.close()

    asyncio.run(run())
    assert [json.loads(v)["id"] for v in values(ingest.bootstrap, first)] == list(range(102))
    assert len(values(ingest.bootstrap, second)) == 1


def test_a_client_id_and_secret_are_enough(ingest, table):
    sdk = sdk_of(ingest.grpc_target, ingest.http_url)
    stream = sdk.create_stream("id", "secret", shared.TableProperties(table), options())
    stream.wait_for_offset(stream.ingest_record_offset({"id": 1}))
    stream.close()
    assert values(ingest.bootstrap, table) == [b'{"id": 1}']


def test_who_is_no_client_gets_no_stream(tmp_path, table):
    clients = tmp_path / "clients"
    clients.write_text("good:secret\n")
    config = {"headrace.token.clients": str(clients)}
    with running_broker(grpc=True, http=True, broker=config) as broker:
        with pytest.raises(shared.NonRetriableException, match=r"(?i)token"):
            open_stream(broker.grpc_target, table)
        sdk = sdk_of(broker.grpc_target, broker.http_url)
        with pytest.raises(shared.ZerobusException):
            sdk.create_stream("good", "wrong", shared.TableProperties(table), options())
        stream = sdk.create_stream("good", "secret", shared.TableProperties(table), options())
        stream.wait_for_offset(stream.ingest_record_offset({"id": 1}))
        stream.close()


def test_what_cannot_be_opened_is_not_tried_again(ingest):
    for bad in ("no such/name", "__internal"):
        before = time.monotonic()
        with pytest.raises(shared.NonRetriableException):
            open_stream(ingest.grpc_target, bad)
        assert time.monotonic() - before < 5
    with (
        running_broker(grpc=True, broker={"auto.create.topics.enable": "false"}) as closed,
        pytest.raises(shared.NonRetriableException, match="does not exist"),
    ):
        open_stream(closed.grpc_target, TABLE)


def test_a_bad_record_ends_a_stream_that_is_checked_and_is_named(ingest, table):
    ingest.create_topic(table, 1, {"headrace.ingest.validation": "true"})
    stream = open_stream(ingest.grpc_target, table)
    stream.wait_for_offset(stream.ingest_record_offset('{"id": 0}'))
    bad = stream.ingest_record_offset('{"id": ')
    with pytest.raises(shared.NonRetriableException, match="offset 1, record 0: not JSON"):
        stream.wait_for_offset(bad)
    stream.close()
    assert len(list(stream.get_unacked_records())) == 1
    assert values(ingest.bootstrap, table) == [b'{"id": 0}']


def test_bad_records_go_to_the_dead_letter_topic_if_there_is_one(ingest, table):
    letters = f"dlq.{table}"
    ingest.create_topic(
        table,
        1,
        {"headrace.ingest.validation": "true", "headrace.ingest.dead.letter.topic": letters},
    )
    row = descriptor()
    good = row(id=1, name="good").SerializeToString()
    properties = shared.TableProperties(table, row.DESCRIPTOR)
    stream = open_stream(ingest.grpc_target, table, properties)
    stream.ingest_record_offset(good)
    stream.ingest_records_offset([good, b"\xff\xff", good, b"\x1a\x01x"])
    stream.ingest_record_offset(b"\x0d")
    stream.flush()
    stream.close()
    assert values(ingest.bootstrap, table) == [good] * 3
    found = read(ingest.bootstrap, letters)
    assert [value for _, value, _ in found] == [b"\xff\xff", b"\x1a\x01x", b"\x0d"]
    told = [(h["__dlq.errors.stream.offset"], h["__dlq.errors.stream.index"]) for _, _, h in found]
    assert told == [(b"1", b"1"), (b"1", b"3"), (b"2", b"0")]
    assert b"Row has no field 3" in found[1][2]["__dlq.errors.message"]
    assert found[0][2]["__dlq.errors.topic"] == table.encode()


def check_order(found, count):
    """All of them, in order; what is there twice is what the SDK could not know to be there."""
    following = 0
    for number in (json.loads(value)["id"] for value in found):
        assert number <= following, "a gap"
        following = max(following, number + 1)
    assert following == count


def test_a_close_signal_moves_a_stream_without_loss(ingest, table):
    """Of what is on its way just when the signal comes the SDK may send one record again."""
    stream = open_stream(ingest.grpc_target, table)
    for number in range(3000):
        stream.ingest_record_offset({"id": number})
        if number % 1000 == 500:
            stream.flush()
            assert ingest.call(lambda node: node.broker.streams.drain(topic=table)) == 1
    stream.flush()
    stream.close()
    found = values(ingest.bootstrap, table)
    check_order(found, 3000)
    assert len(found) <= 3000 + 3


def test_a_deleted_topic_ends_its_streams(ingest, table):
    stream = open_stream(ingest.grpc_target, table, recovery=False)
    stream.wait_for_offset(stream.ingest_record_offset({"id": 0}))
    ingest.call(lambda node: node.broker.topics.delete(table))

    def ingest_on():
        for _ in range(1000):
            stream.wait_for_offset(stream.ingest_record_offset({"id": 1}))

    with pytest.raises(shared.ZerobusException):
        ingest_on()


@pytest.mark.parametrize("kind", ["singles", "batches"])
def test_nothing_acknowledged_is_lost_when_the_server_is_killed(
    broker_process, free_port, table, kind
):
    """Order within the stream stands, too: duplicates are of what came without an answer."""
    broker = broker_process("--grpc", f"127.0.0.1:{free_port}")
    stream = open_stream(f"127.0.0.1:{free_port}", table, recovery_retries=50)
    number = 0
    for round_number in range(3):
        for _ in range(2000):
            if kind == "singles":
                offset = stream.ingest_record_offset({"id": number})
                number += 1
            else:
                offset = stream.ingest_records_offset(
                    [json.dumps({"id": n}) for n in range(number, number + 10)]
                )
                number += 10
            if round_number == 0 and number == 1000:
                stream.wait_for_offset(offset)
        if round_number < 2:
            broker.kill()
            broker.start()
        else:
            stream.wait_for_offset(offset)
    stream.close()
    check_order(values(broker.bootstrap, table), number)


def test_a_server_that_stops_leaves_no_gap(broker_process, free_port, table):
    """It says that it goes, and acknowledges what it has; the SDK goes on with the next one."""
    target = f"127.0.0.1:{free_port}"
    broker = broker_process("--grpc", target)
    stream = open_stream(target, table, recovery_retries=50)
    for number in range(3000):
        stream.ingest_record_offset({"id": number})
        if number == 1500:
            before = time.monotonic()
            assert broker.stop() == 0
            assert time.monotonic() - before < 10
            broker.start()
    stream.flush()
    stream.close()
    found = values(broker.bootstrap, table)
    check_order(found, 3000)
    assert len(found) <= 3000 + 1
