"""One partition on one machine's disk, and the directory that holds many of them.

`contract` is what the broker may ask of a log, `local` keeps it, `segment` describes the files,
`recovery` says what happens after a crash, `store` owns the directory. What must not enter: names
of topics, groups, sockets, a protocol's requests.
"""
