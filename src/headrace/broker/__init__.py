"""Where topics, logs, catalog and groups meet: the services that doors ask.

`append`, `fetch` and `list_offsets` are the road of records; `topics`, `configs` and
`group_coordinator` decide what exists and who reads it. What must not enter: bytes of a protocol,
sockets, files.
"""
