"""A bank whose every move is a transaction, while its tellers and its broker are killed.

`scripts/bank` runs it. A clerk writes orders; tellers (`teller`, processes of their own) read them,
look up balances and write to four topics in one transaction, together with how far they have read:

    orders      transfers by the clerk; a teller that debits an account writes the deposit for the
                other account here, and a teller reads that in its turn
    accounts    an account's balance after each change, numbered: the tellers' state
    ledger      the change itself, each once
    receipts    what became of a transfer: done or refused

Account a lives in partition a % PARTITIONS of every topic. An auditor reads all of it all the time,
as a consumer that must see what is committed and nothing else. What it must not see is in `judge`.
"""
