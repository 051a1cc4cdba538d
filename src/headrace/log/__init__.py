"""One partition on one machine's disk, and the directory that holds many of them.

`contract` is what the broker may ask of a log, `local` keeps it, `segment` describes the files,
`recovery` says what happens after a crash, `compaction` keeps the latest of each key, `inspecting`
finds damage where nobody has the log open, `store` owns the directory. What must not enter: names
of topics, groups, sockets, a protocol's requests.
"""
