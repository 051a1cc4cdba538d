"""Flow control, exact to the byte in both directions (RFC 9113 sections 5.2 and 6.9)."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace.doors.http2 import frames
from headrace.doors.http2.frames import ErrorCode
from headrace.doors.http2.limits import GrpcLimits
from headrace.doors.http2.messages import prefixed

KIB = 1024
SMALL = GrpcLimits(
    stream_window_bytes_min=1 * KIB,
    stream_window_bytes_max=4 * KIB,
    window_bytes=66_000,
    message_bytes_max=20 * KIB,
    receive_bytes_max=1024 * KIB,
)


class Windows:
    """What a client may send, as it must understand what it was told."""

    def __init__(self, peer: Any) -> None:
        self._peer = peer
        self._seen = 0
        self.connection = frames.WINDOW_BYTES_INITIAL
        self.streams: dict[int, int] = {}

    def update(self) -> None:
        for frame in self._peer.frames[self._seen :]:
            if frame.kind == frames.WINDOW_UPDATE:
                size = int.from_bytes(frame.payload)
                assert size > 0
                if frame.stream_id:
                    self.streams[frame.stream_id] += size
                else:
                    self.connection += size
        self._seen = len(self._peer.frames)

    def spend(self, stream_id: int, size_bytes: int) -> None:
        self.connection -= size_bytes
        self.streams[stream_id] -= size_bytes


@st.composite
def conversations(draw: st.DrawFn) -> list[tuple[int, bytes, int, str]]:
    """(stream, message, size of frames, what its handler does then)"""
    return draw(
        st.lists(
            st.tuples(
                st.sampled_from([1, 3, 5]),
                st.integers(0, SMALL.message_bytes_max).map(bytes),
                st.integers(1, 5000),
                st.sampled_from(["", "", "pause", "resume"]),
            ),
            max_size=12,
        )
    )


@given(conversations())
def test_windows_are_what_both_sides_think_and_bound_what_is_held(sent: Any) -> None:
    from tests.doors.http2.peer import Peer, data

    peer = Peer(SMALL)
    windows = Windows(peer)
    handlers = {}
    for stream_id in (1, 3, 5):
        windows.streams[stream_id] = SMALL.stream_window_bytes_min
        handlers[stream_id] = peer.call(stream_id)
    expected: dict[int, list[bytes]] = {1: [], 3: [], 5: []}
    for stream_id, message, frame_bytes, then in sent:
        call = handlers[stream_id].call
        if then:
            getattr(call, then)()
        if call.is_paused:
            # Its window is all that it may hold; whoever sends more would wait for ever.
            peer.hear()
            windows.update()
            held = len(call.stream.received) + windows.streams[stream_id]
            assert held <= SMALL.stream_window_bytes_max + SMALL.message_bytes_max
            call.resume()
        expected[stream_id].append(message)
        content = prefixed([message])
        while content:
            peer.hear()
            windows.update()
            assert call.stream.receive_window == windows.streams[stream_id]
            size = min(len(content), frame_bytes, windows.streams[stream_id], windows.connection)
            assert size > 0, "the client may send nothing, and nobody is behind"
            peer.say(data(stream_id, content[:size]))
            windows.spend(stream_id, size)
            content = content[size:]
            held = sum(len(h.call.stream.received) for h in handlers.values())
            assert peer.budget.held_bytes == held
            needed = max(SMALL.stream_window_bytes_max, len(message) + 5)
            assert len(call.stream.received) + call.stream.receive_window <= needed
    for stream_id, handler in handlers.items():
        handler.call.resume()
        assert handler.messages == expected[stream_id]
    peer.server.lost()
    assert peer.budget.held_bytes == peer.budget.streams == 0


def test_the_window_of_a_paused_call_is_spent_and_not_widened(
    make_peer: Any, data_frame: Any
) -> None:
    peer = make_peer(SMALL)
    handler = peer.call()
    handler.on["messages"] = handler.call.pause
    window = handler.call.stream.receive_window
    first = prefixed([bytes(2995)])
    peer.say(data_frame(1, first))
    rest = prefixed([b"x"] * ((window - len(first)) // 6))
    peer.say(data_frame(1, rest))
    assert handler.messages == [bytes(2995)]
    assert handler.call.stream.receive_window == window - len(first) - len(rest)
    assert peer.budget.held_bytes == len(rest)
    handler.on.clear()
    handler.call.resume()
    assert len(handler.messages) == 1 + len(rest) // 6
    assert handler.call.stream.receive_window == window
    assert peer.budget.held_bytes == 0


def test_the_end_of_a_paused_call_is_told_after_its_messages(peer: Any, data_frame: Any) -> None:
    handler = peer.call()
    handler.call.pause()
    peer.say(data_frame(1, prefixed([b"x"]), ends=True))
    assert handler.told == []
    handler.call.resume()
    assert handler.told == ["messages", "end"]


def test_windows_shrink_as_streams_share_the_doors_memory(make_peer: Any) -> None:
    limits = GrpcLimits(receive_bytes_max=1024 * KIB)
    peer = make_peer(limits)
    windows = [peer.call(stream_id).call.stream.receive_window for stream_id in range(1, 41, 2)]
    assert windows[:4] == [512 * KIB, 256 * KIB, 1024 * KIB // 6, 128 * KIB]
    assert windows[-1] == limits.stream_window_bytes_min


def test_messages_that_fill_the_door_end_the_call_that_sends_them(
    make_peer: Any, data_frame: Any
) -> None:
    limits = GrpcLimits(receive_bytes_max=300 * KIB, stream_window_bytes_max=64 * KIB)
    peer = make_peer(limits)
    handlers = [peer.call(stream_id) for stream_id in (1, 3)]
    half = prefixed([bytes(250 * KIB)])[: 160 * KIB]
    for stream_id in (1, 3):
        for at in range(0, len(half), 32 * KIB):
            peer.say(data_frame(stream_id, half[at : at + 32 * KIB]))
    assert [handler.told for handler in handlers] == [[], ["cancel"]]
    assert peer.status(3) == ("8", "unfinished messages fill the server")
    assert peer.budget.held_bytes == 160 * KIB


@given(
    st.lists(st.tuples(st.sampled_from([1, 3]), st.integers(0, 3000)), max_size=10),
    st.lists(st.tuples(st.sampled_from([0, 1, 3]), st.integers(1, 4000)), max_size=20),
    st.integers(0, 2000),
)
def test_what_is_sent_stays_within_the_clients_windows(
    sent: list[tuple[int, int]], widened: list[tuple[int, int]], initial: int
) -> None:
    from tests.doors.http2.peer import Peer

    peer = Peer()
    handlers = {stream_id: peer.call(stream_id) for stream_id in (1, 3)}
    allowed = {0: frames.WINDOW_BYTES_INITIAL, 1: initial, 3: initial}
    peer.say(frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: initial}))
    whole: dict[int, bytes] = {1: b"", 3: b""}
    for at in range(max(len(sent), len(widened))):
        if at < len(sent):
            stream_id, size = sent[at]
            message = bytes([at]) * size
            whole[stream_id] += prefixed([message])
            handlers[stream_id].call.send([message])
        if at < len(widened):
            stream_id, size = widened[at]
            allowed[stream_id] += size
            peer.say(frames.window_update(stream_id, size))
        peer.hear()
        got = {stream_id: peer.content(stream_id) for stream_id in (1, 3)}
        assert len(got[1]) + len(got[3]) <= allowed[0]
        for stream_id in (1, 3):
            expected = min(len(whole[stream_id]), allowed[stream_id])
            assert got[stream_id] == whole[stream_id][:expected]
    for handler in handlers.values():
        handler.call.finish()
    for stream_id in (0, 1, 3):
        peer.say(frames.window_update(stream_id, 100_000))
    peer.hear()
    for stream_id in (1, 3):
        assert peer.content(stream_id) == whole[stream_id]
        assert peer.status(stream_id) == ("0", "")


def test_streams_that_are_reset_leave_nothing_behind_while_no_window_is_open(peer: Any) -> None:
    peer.call(1).call.send([bytes(100_000)])
    peer.hear()  # the connection's window is spent
    for stream_id in range(3, 23, 2):
        peer.call(stream_id).call.send([b"never leaves"])
        peer.say(frames.rst_stream(stream_id, ErrorCode.CANCEL))
    assert not peer.server.http.sender._round
    assert peer.budget.unsent_bytes == 100_005 - 65_535


def test_no_frame_is_larger_than_the_client_takes(peer: Any) -> None:
    handler = peer.call()
    handler.call.send([bytes(40_000)])
    peer.hear()
    sizes = [len(frame.payload) for frame in peer.frames if frame.kind == frames.DATA]
    assert sizes == [16_384, 16_384, 40_005 - 2 * 16_384]


def test_large_answers_take_turns(peer: Any) -> None:
    first, second = peer.call(1), peer.call(3)
    peer.say(
        frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: 1 << 24})
        + frames.window_update(0, 1 << 24)
    )
    first.call.send([bytes(2 << 20)])
    second.call.send([b"small"])
    peer.hear(1)
    order = [frame.stream_id for frame in peer.frames if frame.kind == frames.DATA]
    assert order.index(3) < len(order) // 4
