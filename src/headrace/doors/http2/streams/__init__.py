"""`headrace.v1.Streams`: events into topics and out of them, one call for each stream.

`headrace/streams/headrace_v1.proto` says what clients may expect. What must not enter: how messages
are laid out (`wire.headrace_v1`), what an event looks like as a record (`wire.cloudevents`).
"""
