"""Bytes that nobody would send or store, guided by what code they reach.

A target takes bytes and raises what is wrong with the product; what its documentation says may be
raised it takes itself. `python -m proof.fuzz TARGET` (scripts/fuzz) makes up such bytes, from
seeds and from what was kept of earlier runs in `tests/proof/fuzz/corpus`; the suite goes through
both, and some mutations, again.
"""
