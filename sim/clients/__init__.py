"""Scripted clients: each does one thing a client does, for as long as the run lasts, and writes
down what it was told. None trusts the broker, and none is cleverer than real ones are.
"""
