import asyncio

from headrace.broker import producer_ids
from headrace.broker.producer_ids import ProducerIds


def test_no_id_is_given_twice_not_even_after_a_crash(with_topics, monkeypatch):
    monkeypatch.setattr(producer_ids, "BLOCK_IDS", 10)

    async def body(world):
        ids = ProducerIds(world.catalog.producer_ids)
        return await asyncio.gather(*(ids.next() for _ in range(35)))

    given = [*with_topics(body), *with_topics(body)]
    assert len(set(given)) == 70
    assert min(given) >= 0


def test_more_callers_at_once_than_a_block_holds_get_ids_of_their_own(with_topics):
    async def body(world):
        ids = ProducerIds(world.catalog.producer_ids)
        return await asyncio.gather(*(ids.next() for _ in range(3 * producer_ids.BLOCK_IDS)))

    given = with_topics(body)
    assert len(set(given)) == 3 * producer_ids.BLOCK_IDS
    assert sorted(given) == list(range(3 * producer_ids.BLOCK_IDS))


def test_a_block_is_one_commit(with_topics):
    async def body(world):
        ids = ProducerIds(world.catalog.producer_ids)
        first = [await ids.next() for _ in range(producer_ids.BLOCK_IDS)]
        assert first == list(range(producer_ids.BLOCK_IDS))
        assert await world.catalog.producer_ids.reserve(1) == producer_ids.BLOCK_IDS

    with_topics(body)
