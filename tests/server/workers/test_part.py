import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.server.address import Address
from headrace.server.config import ServerConfig
from headrace.server.workers.part import WorkerPart
from headrace.server.workers.ports import PortInUse, Ports, bound

addresses = st.builds(
    Address, st.sampled_from(["::1", "127.0.0.1", "a.example"]), st.integers(1, 9)
)
configs = st.builds(
    ServerConfig,
    data_dir=st.text(),
    kafka=addresses,
    advertise=st.none() | addresses,
    http=st.none() | addresses,
    grpc=st.none() | addresses,
    workers=st.integers(2, 9),
    broker=st.dictionaries(st.text(), st.text()),
)


@given(configs, st.lists(addresses), st.text())
def test_a_worker_reads_what_the_supervisor_wrote(
    config: ServerConfig, advertised: list[Address], directory: str
) -> None:
    part = WorkerPart(1, 2, config, tuple(advertised), directory, "links", 5, 6, 7, -1, -1)
    line = part.encode()
    assert line.count(b"\n") == 1
    assert WorkerPart.decode(line) == part
    assert part.descriptors == (5, 6, 7)


def config(**settings: object) -> ServerConfig:
    free = Address("127.0.0.1", 0)
    return ServerConfig(workers=2, kafka=free, http=free, grpc=None, **settings)  # type: ignore[arg-type]


def test_workers_are_advertised_where_they_listen() -> None:
    with Ports(config()) as ports:
        assert ports.advertised(config()) == tuple(bound(own) for own in ports.kafka)
        assert len({bound(one) for one in (ports.shared, *ports.kafka, *ports.http)}) == 5
        assert ports.grpc is None


def test_workers_are_advertised_behind_what_clients_are_told() -> None:
    told = config(advertise=Address("b.example", 9000))
    with Ports(told) as ports:
        assert ports.advertised(told) == (Address("b.example", 9001), Address("b.example", 9002))


def test_a_port_that_is_taken_is_named_and_all_others_are_given_back() -> None:
    with Ports(config()) as ports:
        taken = bound(ports.http[0])
        with pytest.raises(PortInUse, match=f"cannot listen on {taken}: .*set --http"):
            Ports(ServerConfig(workers=2, kafka=Address("127.0.0.1", 0), http=taken))
