"""Damaged conversations and plain noise: see `fuzzer`."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace.doors.http2 import frames
from tests.doors.http2 import fuzzer


def test_damaged_conversations_end_by_name_and_hold_nothing(caplog: Any) -> None:
    ended = 0
    for seed in fuzzer.SEEDS:
        peer = fuzzer.run(seed)
        ended += peer.server.http.fault is not None
    assert 0 < ended < len(fuzzer.SEEDS), "some survive, some do not"
    assert not [record for record in caplog.records if record.exc_info], "no mistake of ours"


@given(st.binary(max_size=300), st.booleans())
def test_noise_ends_by_name(noise: bytes, after_greeting: bool) -> None:
    from tests.doors.http2.peer import Peer

    peer = Peer(fuzzer.LIMITS, greets=after_greeting)
    peer.say(noise)
    goaway = peer.goaway()
    if not after_greeting and not frames.PREFACE.startswith(noise[:24]):
        assert goaway is not None
    peer.server.lost()
    assert peer.budget.streams == 0
