"""Lists that are only appended to, by transactions, while the broker is killed.

Each partition is a list. Writers append numbers to several of them in one transaction and abort
some; one writer appends without transactions. Readers read committed records from the beginning,
again and again. `judge` says what one log must explain.
"""
