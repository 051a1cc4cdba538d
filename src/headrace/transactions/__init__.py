"""Transactions across partitions and groups as pure automata, one for each transactional id.

`(record, request, now) -> (record, answer)`: what a step changed is durable before anything that
follows from it is told or done; the broker sees to that, and to the markers and offsets that end a
transaction. What must not enter: clocks, disks, partitions' contents.
"""
