"""Ordered ingest streams: what one producer connection sends is read in the order it was sent.

`ingest.IngestStreams` (the broker's `streams`) is what doors use, together with the promises in
`contract`. A stream is a producer id; the record batches that it becomes carry that id and a
sequence in their headers, so the log alone tells what a stream sent, and whether anything is
missing. It is bound to one partition for its life. Which one, and how many there are, `router`
decides from measurements. What must not enter: gRPC, tables, record formats.
"""
