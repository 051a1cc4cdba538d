import pytest

from headrace.doors.kafka.k25_add_offsets_to_txn import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k25_add_offsets_to_txn import AddOffsetsToTxnRequest

VERSIONS = range(API.versions[0], API.versions[1] + 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_group_is_part_of_the_transaction(with_transaction, version):
    async def body(asker, transactor):
        request = AddOffsetsToTxnRequest(**transactor.fields, group_id="another")
        assert (await asker.ask(API, version, request)).error_code == 0
        assert asker.broker.transactions.record("x").groups == {"g", "another"}

    with_transaction(body)


@pytest.mark.parametrize(
    ("version", "change", "code"),
    [
        (1, {"producer_epoch": 7}, ErrorCode.INVALID_PRODUCER_EPOCH),
        (3, {"producer_epoch": 7}, ErrorCode.PRODUCER_FENCED),
        (3, {"producer_id": 7}, ErrorCode.INVALID_PRODUCER_ID_MAPPING),
        (3, {"group_id": ""}, ErrorCode.INVALID_GROUP_ID),
    ],
)
def test_refusals(with_transaction, version, change, code):
    async def body(asker, transactor):
        fields = transactor.fields | {"group_id": "another"} | change
        answer = await asker.ask(API, version, AddOffsetsToTxnRequest(**fields))
        assert answer.error_code == code

    with_transaction(body)
