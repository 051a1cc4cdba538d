"""What is told of share groups, from the first record that is held to the last that is accepted."""

from headrace.testing.raw_client import RawClient, batch
from headrace.testing.share_member import ShareMember


def test_share_groups_are_told_by_partition(seen_broker, scrape, monkeypatch):
    monkeypatch.setattr("headrace.doors.http.routes.SCRAPE_FRESH_S", 0.0)
    seen_broker.create_topic("t")

    async def configure(node):
        change = {"share.auto.offset.reset": "earliest"}
        await node.broker.group_configs.alter("g", lambda _: change, in_use=False)

    seen_broker.call(configure)
    with RawClient(seen_broker.host, seen_broker.port) as client:
        assert not client.produce("t", 0, batch([b"v"] * 10)).error_code
    topic_id = seen_broker.node.broker.topics.get("t").id
    member = ShareMember(seen_broker.host, seen_broker.port, topic_id)
    where = {"group": "g", "topic": "t", "partition": 0}

    def told():
        found = scrape(seen_broker)
        names = ("group_lag", "share_acquired", "share_redelivered")
        ends = ("_records", "_records", "_records_total")
        return [
            found(f"headrace_{name}{end}", **where) for name, end in zip(names, ends, strict=True)
        ]

    assert told() == [None] * 3
    member.acquire()
    assert told() == [10, 10, 0]
    member.acknowledge((0, 4, [1]), (7, 8, [1]), (9, 9, [2]))
    assert told() == [3, 2, 0]
    assert member.acquire() == [(9, 9, 2)]
    assert told() == [3, 3, 1]
    assert scrape(seen_broker)("headrace_share_sessions") == 1
    member.die()
