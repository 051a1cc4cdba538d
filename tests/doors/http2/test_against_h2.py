"""The `h2` library as the client: it raises on whatever we do against RFC 9113."""

import h2.config
import h2.connection
import h2.events
import h2.settings
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.doors.http2.limits import GrpcLimits
from headrace.doors.http2.messages import prefixed
from tests.doors.http2.peer import Peer

ECHO = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/t.T/Echo"),
    (":authority", "door"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]


class H2Client:
    def __init__(self, window: int, frame_bytes_max: int) -> None:
        self.peer = Peer(GrpcLimits(), greets=False)
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        codes = h2.settings.SettingCodes
        self.h2.initiate_connection()
        self.h2.update_settings(
            {codes.INITIAL_WINDOW_SIZE: window, codes.MAX_FRAME_SIZE: frame_bytes_max}
        )
        self.content: dict[int, bytes] = {}
        self.trailers: dict[int, dict[str, str]] = {}
        self.ended: set[int] = set()
        self._heard = 0
        self.exchange()

    def exchange(self, piece: int = 0) -> None:
        """Until neither has anything to say."""
        while data := self.h2.data_to_send():
            self.peer.say(data, piece=piece)
            self.hear()

    def hear(self) -> None:
        self.peer.hear()
        for frame in self.peer.frames[self._heard :]:
            head = (len(frame.payload) << 8 | frame.kind).to_bytes(4)
            raw = head + bytes([frame.flags]) + frame.stream_id.to_bytes(4) + frame.payload
            for event in self.h2.receive_data(raw):
                self._on(event)
        self._heard = len(self.peer.frames)

    def _on(self, event: h2.events.Event) -> None:
        assert not isinstance(event, h2.events.ConnectionTerminated), event
        if isinstance(event, h2.events.DataReceived):
            self.content[event.stream_id] = self.content.get(event.stream_id, b"") + event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            self.trailers[event.stream_id] = dict(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            self.ended.add(event.stream_id)

    def send(self, stream_id: int, content: bytes) -> None:
        while content:
            window = self.h2.local_flow_control_window(stream_id)
            size = min(len(content), window, self.h2.max_outbound_frame_size, 30_000)
            assert size > 0, "no window, and the echo is taken"
            self.h2.send_data(stream_id, content[:size], pad_length=size % 3 or None)
            content = content[size:]
            self.exchange()


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.integers(0, 200_000).map(bytes), max_size=4), min_size=1, max_size=4),
    st.sampled_from([1000, 65_535, 1 << 20]),
    st.sampled_from([16_384, 60_000]),
    st.sampled_from([0, 1000]),
)
def test_calls_are_echoed_within_all_rules(
    calls: list[list[bytes]], window: int, frame_bytes_max: int, piece: int
) -> None:
    client = H2Client(window, frame_bytes_max)
    ids = []
    for _ in calls:
        ids.append(client.h2.get_next_available_stream_id())
        client.h2.send_headers(ids[-1], ECHO, priority_weight=7)
        client.h2.ping(b"12345678")
        client.exchange(piece)
    for at in range(4):
        for stream_id, messages in zip(ids, calls, strict=True):
            if at < len(messages):
                client.send(stream_id, prefixed(messages[at : at + 1]))
    for stream_id, messages in zip(ids, calls, strict=True):
        client.h2.end_stream(stream_id)
        client.exchange(piece)
        assert client.content.get(stream_id, b"") == prefixed(messages)
        assert client.trailers[stream_id] == {"grpc-status": "0"}
        assert stream_id in client.ended
    assert client.peer.budget.streams == 0
    client.h2.close_connection()
    client.exchange()
