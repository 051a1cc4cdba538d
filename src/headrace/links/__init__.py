"""Links between the workers of one machine: requests and answers over Unix sockets.

`frames` is what the bytes look like, `link` asks one other worker, `listener` answers the others.
A link knows bytes only: what a request means is its owner's (`broker.cluster`).
What must not enter: topics, groups, transactions.
"""
