"""The token endpoint as OAuth clients use it."""

import base64
import json
from http import HTTPStatus

import pytest

from headrace.broker.tokens import Tokens
from headrace.doors.http.head import BODY_BYTES_MAX, BadRequest, read_request
from headrace.doors.http.token import PATH, answer_token

FORM = b"grant_type=client_credentials&scope=all-apis"
TOKENS = Tokens({"id": "secret"}, lambda: 1e9)


def post(body: bytes, *fields: str) -> bytes:
    head = (f"POST {PATH} HTTP/1.1", *fields, f"Content-Length: {len(body)}", "", "")
    return "\r\n".join(head).encode() + body


def basic(text: str) -> str:
    return f"Authorization: Basic {base64.b64encode(text.encode()).decode()}"


def ask(data: bytes, tokens: Tokens = TOKENS):
    found = read_request(bytearray(data), {PATH})
    assert found is not None
    assert found[1] == len(data)
    return answer_token(tokens, found[0])


def test_a_client_gets_a_token_that_is_accepted():
    answer = ask(post(FORM, basic("id:secret")))
    assert answer.status is HTTPStatus.OK
    told = json.loads(answer.body)
    assert told["expires_in"] > 0
    assert TOKENS.accepts(told["access_token"])
    answer = ask(post(FORM + b"&client_id=id&client_secret=secret"))
    assert answer.status is HTTPStatus.OK


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (post(FORM), 401),
        (post(FORM, basic("id:wrong")), 401),
        (post(FORM, basic("id")), 401),
        (post(FORM, "Authorization: Basic ???"), 401),
        (post(b"", basic("id:secret")), 400),
        (post(b"grant_type=password", basic("id:secret")), 400),
        (post(b"\xff", basic("id:secret")), 400),
        (post(b"&".join([b"a=1"] * 100), basic("id:secret")), 400),
        (f"GET {PATH} HTTP/1.1\r\n\r\n".encode(), 405),
    ],
)
def test_what_is_refused_says_so(data, status):
    assert ask(data).status == status


def test_an_open_broker_gives_everybody_one():
    assert ask(post(FORM, basic("a:b")), Tokens(None, lambda: 0)).status is HTTPStatus.OK


def test_a_body_is_waited_for_and_bounded():
    data = post(FORM)
    for size in range(len(data)):
        assert read_request(bytearray(data[:size]), {PATH}) is None
    with pytest.raises(BadRequest) as refused:
        read_request(bytearray(post(bytes(BODY_BYTES_MAX + 1))), {PATH})
    assert refused.value.status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    with pytest.raises(BadRequest) as refused:
        read_request(bytearray(data))
    assert refused.value.status in (405, 413)
