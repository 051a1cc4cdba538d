"""What published clients really send, byte for byte."""

from headrace.doors.kafka.dispatch import decode_request, find_api
from headrace.wire.header import read_request_head


def test_librdkafkas_metadata_of_all_topics_is_read_in_spite_of_what_follows_it() -> None:
    sent = "0003000d00000003000772646b61666b610000000000010000"  # by librdkafka 2.16
    frame = memoryview(bytes.fromhex(sent))
    head = read_request_head(frame)
    request = decode_request(find_api(head), head, frame)
    assert request.topics is None
