"""The Zerobus services, so that the official SDK writes to topics unchanged (`service`).

A call is a `handler`, which does what an `intake` says: the automaton of one ingest stream, the
same for all kinds, over what a `speech` (ephemeral, persistent) or `arrow` makes of the bytes.
Records go to the broker's streams as they came; they are looked at only where a topic has its
records checked (`checks`). The messages stand in `zerobus.proto`, which no program reads.

What must not enter: how HTTP/2 works, how the broker makes streams durable.
"""
