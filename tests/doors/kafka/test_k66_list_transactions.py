import asyncio

import pytest

from headrace.broker import transaction_listing
from headrace.broker.transaction_requests import Init
from headrace.doors.kafka.k66_list_transactions import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k66_list_transactions import ListTransactionsRequest


@pytest.mark.parametrize(
    ("version", "filters", "expected"),
    [
        (0, {}, ["idle", "x"]),
        (0, {"state_filters": ["Ongoing"]}, ["x"]),
        (0, {"state_filters": ["Dead"]}, []),
        (0, {"producer_id_filters": [0]}, ["x"]),
        (1, {"duration_filter": 60_000}, []),
        (1, {"duration_filter": -1}, ["idle", "x"]),
        (2, {"transactional_id_pattern": "i.*"}, ["idle"]),
        (2, {"transactional_id_pattern": "i"}, []),
    ],
)
def test_filters_let_through_what_they_name(with_transaction, version, filters, expected):
    async def body(asker, transactor):
        await asker.broker.transactions.init("idle", Init(1000))
        answer = await asker.ask(API, version, ListTransactionsRequest(**filters))
        assert (answer.error_code, answer.unknown_state_filters) == (0, [])
        assert [state.transactional_id for state in answer.transaction_states] == expected

    with_transaction(body)


def test_many_ids_are_listed_in_turns_of_the_loop(with_transaction, monkeypatch):
    monkeypatch.setattr(transaction_listing, "IDS_PER_TURN_MAX", 1)

    async def body(asker, _):
        for name in "cab":
            await asker.broker.transactions.init(name, Init(1000))
        listing = asyncio.ensure_future(asker.ask(API, 2, ListTransactionsRequest()))
        turns = 0
        while not listing.done():
            turns += 1
            await asyncio.sleep(0)
        assert turns > 4
        found = [state.transactional_id for state in (await listing).transaction_states]
        assert found == ["a", "b", "c", "x"]

    with_transaction(body)


def test_filters_that_mean_nothing_are_told(with_transaction):
    async def body(asker, transactor):
        answer = await asker.ask(API, 0, ListTransactionsRequest(state_filters=["Lost"]))
        assert (answer.unknown_state_filters, answer.transaction_states) == (["Lost"], [])
        bad = await asker.ask(API, 2, ListTransactionsRequest(transactional_id_pattern="("))
        assert bad.error_code == ErrorCode.INVALID_REGULAR_EXPRESSION

    with_transaction(body)
