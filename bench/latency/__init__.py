"""End-to-end latency at fixed rates, the same way for every system: `scripts/bench latency`.

What is measured
    One producer, one partition (stream), records of 1,000 bytes. Each record has a moment at which
    it is due: record i is due at start + i / rate. Latency is what passes from that moment, not
    from the moment it was sent, until it is acknowledged (`ack`), and until a consumer in another
    process has it (`end to end`). The moment travels in the record (CLOCK_MONOTONIC, which all
    processes of a machine share), and the consumer checks that each record is there, once and in
    order.

Why so
    A generator that waits for a slow server before it sends what is due next measures the stall
    once; its users would have felt it with every record (coordinated omission). Here the schedule
    goes on whatever the server does: a stall of a second is in the latency of a second's records.

How it is sent
    As a client library does: every TICK_MS what is due goes as one batch, at most SENDS_MAX of
    them unacknowledged; while those are under way the next batch grows, to at most 1 MiB. So a
    record waits half a tick on average before anything is sent. Kafka's protocol takes one Produce
    request a batch; NATS and Redis take one command a record, pipelined. `late` says how late the
    generator itself was behind its ticks, which is the part of the numbers that is its own.

At which rates
    The most a system sustains is found first: by flooding it, then by bisection around that. A rate
    is sustained if at some moment of the last quarter of the trial the consumer was no more than
    BACKLOG_MS_MAX behind the schedule. Then 10, 50 and 80 % of each system's own most, and rates
    that are the same for all that sustain them. Each run has a new topic, and its first second does
    not count; before it the disk takes all that others left. What is done to find the most also
    warms a system up.

Every percentile is of all records, from buckets that are 1 % wide; the greatest is exact.
"""
