"""Bytes and what they mean: frames, record batches, messages, compression, error codes.

Pure: no I/O, no clock, no loop, and nothing of the other packages.
"""
