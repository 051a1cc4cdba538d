"""Lives of a log on a disk that fails, forgets, tears and lies, judged against a model.

    python -m proof.disk --seeds 20            # every way to fail, twenty lives of each

A *life* (`life`) is a seeded sequence of what brokers do with a store; the disk is one in memory
(`headrace.testing.disk`), threads are steps (`steps`), so a seed is a run. `model` knows what must
be there, `judge` looks whether it is, `sweeps` makes every call fail and cuts the power everywhere.
"""
