"""Kafka's requests and responses, one module for each API, named by its key.

Attributes have Kafka's names in snake case. Times and durations are int milliseconds, error codes
plain int, a zero uuid is None. A message describes all its versions at once: what a version does
not carry has its default after `schema.decode` and is left out by `schema.encode`. Produce and
Fetch are not here: they are written by hand (`wire.produce`, `wire.fetch`).
"""
