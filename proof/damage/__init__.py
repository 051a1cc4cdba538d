"""One byte of a data directory is changed while no broker runs; then it is opened and read again.

`specimen` makes a small partition, `reading` looks at it as clients do, `sweep` changes every byte
in turn and judges. `python -m proof.damage` (scripts/damage) goes through all bits.
"""
