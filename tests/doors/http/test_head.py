"""Heads of requests, in pieces, malformed, and too large."""

import contextlib
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.doors.http.head import HEAD_BYTES_MAX, Answer, BadRequest, encode, read_request

GET = b"GET /groups?group=a%20b HTTP/1.1\r\nHost: x\r\n\r\n"


def status_of(data: bytes) -> HTTPStatus:
    with pytest.raises(BadRequest) as refused:
        read_request(bytearray(data))
    return refused.value.status


def test_a_request_is_read_and_what_follows_is_left():
    found = read_request(bytearray(GET + GET))
    assert found is not None
    request, size = found
    assert size == len(GET)
    assert (request.path, request.query) == ("/groups", {"group": ["a b"]})
    assert request.keep_alive
    assert not request.is_head


@given(st.integers(0, len(GET) - 1))
def test_a_part_of_a_head_is_waited_for(size):
    assert read_request(bytearray(GET[:size])) is None


@pytest.mark.parametrize(
    ("head", "keep_alive"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", True),
    ],
)
def test_the_client_says_whether_the_connection_stays(head, keep_alive):
    found = read_request(bytearray(head))
    assert found is not None
    assert found[0].keep_alive is keep_alive


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / KAFKA/1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nname : x\r\n\r\n", 400),
        (b"GET http://[ HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"PUT / HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 413),
        (b"G" * HEAD_BYTES_MAX, 431),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * HEAD_BYTES_MAX + b"\r\n\r\n", 431),
    ],
)
def test_what_is_not_served_is_named(data, status):
    assert status_of(data) == status


@given(st.binary(max_size=300))
def test_no_bytes_harm(data):
    for end in (b"", b"\r\n\r\n"):
        with contextlib.suppress(BadRequest):
            read_request(bytearray(data + end))


def test_the_answer_to_head_has_the_length_and_no_body():
    told = encode(Answer(b"12345"), keep_alive=True, is_head=True)
    assert b"Content-Length: 5\r\n" in told
    assert told.endswith(b"\r\n\r\n")
    assert encode(Answer(b"12345"), keep_alive=False).endswith(b"Connection: close\r\n\r\n12345")
