"""Deterministic simulation: the broker, its clients, its disk and its network in one thread.

Everything that a run does follows from its seed: time is virtual (`world`), loops take their turns
by it (`loop`), threads are steps (`threads`), sockets and the disk are memory (`network`,
`machine`), and what is random comes from the seed. Nothing in here is part of the product, and the
product knows nothing of it: `seams` lists every name that is replaced while a world runs.
"""
