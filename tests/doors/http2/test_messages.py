"""Messages out of content, however little of it is there."""

from hypothesis import given
from hypothesis import strategies as st

from headrace.doors.http2.messages import Messages, cut, prefixed
from headrace.doors.http2.status import Status

LIMIT = 100


@given(st.lists(st.binary(max_size=60), max_size=8), st.integers(0, 600))
def test_whole_messages_are_found_and_the_next_one_is_sized(sent: list[bytes], there: int) -> None:
    content = bytearray(prefixed(sent))[:there]
    ends, needed, fault = cut(content, LIMIT)
    assert fault is None
    found = [bytes(message) for message in Messages(memoryview(content), ends)]
    assert found == sent[: len(found)]
    rest = content[ends[-1] if ends else 0 :]
    if len(rest) < 5:
        assert needed == (5 if rest else 0)
    else:
        assert needed == 5 + len(sent[len(found)]) > len(rest)


def test_a_message_over_the_limit_is_refused_by_its_prefix_after_those_before_it() -> None:
    content = bytearray(prefixed([b"good", bytes(LIMIT + 1)]))[:15]
    ends, _, fault = cut(content, LIMIT)
    assert ends == [9]
    assert fault is not None
    assert fault.status is Status.RESOURCE_EXHAUSTED
    assert "101 bytes; up to 100" in fault.message


def test_a_compressed_message_is_refused() -> None:
    _, _, fault = cut(bytearray(b"\1\0\0\0\1x"), LIMIT)
    assert fault is not None
    assert fault.status is Status.INTERNAL
