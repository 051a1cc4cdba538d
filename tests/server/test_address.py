"""HOST:PORT is read strictly and written back the same way."""

import ipaddress
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.server.address import Address

PORTS = st.integers(0, 65535)
LABELS = st.text(string.ascii_letters + string.digits, min_size=1, max_size=20)
NAMES = (
    st.lists(LABELS, min_size=1, max_size=4)
    .map(".".join)
    .filter(lambda name: not set(name) <= set(string.digits + "."))
)
HOSTS = NAMES | st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(str)


@given(HOSTS, PORTS)
def test_an_address_reads_back_as_it_was_written(host: str, port: int) -> None:
    address = Address(host, port)
    assert Address.parse(str(address)) == address


@given(st.ip_addresses(v=6), PORTS)
def test_an_ipv6_address_is_written_in_brackets(host: ipaddress.IPv6Address, port: int) -> None:
    assert str(Address(str(host), port)) == f"[{host}]:{port}"


@given(st.text())
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        address = Address.parse(text)
    except ValueError:
        return
    assert 0 <= address.port <= 65535
    assert address.host
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "such as 127.0.0.1:9092"),
        ("9092", "such as 127.0.0.1:9092"),
        (":9092", "host name or address"),
        ("host:", "number for the port"),
        ("host:http", "number for the port"),
        ("host:-1", "number for the port"),
        ("host:\u0669", "number for the port"),
        ("host:65536", "from 0 to 65535"),
        ("::1:9092", "such as [::1]:9092"),
        ("[::1]", "such as"),
        ("[::g]:1", "host name or address"),
        ("[127.0.0.1]:1", "host name or address"),
        ("256.0.0.1:1", "host name or address"),
        ("two words:1", "host name or address"),
        ("kafka://127.0.0.1:9092", "without a scheme, such as 127.0.0.1:9092"),
    ],
)
def test_what_is_no_address_is_told_what_one_looks_like(text: str, hint: str) -> None:
    with pytest.raises(ValueError) as refused:
        Address.parse(text)
    assert hint in str(refused.value)


def test_a_port_can_be_asked_to_be_a_real_one() -> None:
    assert Address.parse("localhost:0") == Address("localhost", 0)
    with pytest.raises(ValueError, match="from 1 to 65535"):
        Address.parse("localhost:0", port_min=1)


def test_every_interface_is_known_as_such() -> None:
    assert Address.parse("0.0.0.0:1").is_wildcard
    assert Address.parse("[::]:1").is_wildcard
    assert not Address.parse("[::1]:1").is_wildcard
