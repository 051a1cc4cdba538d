"""Several processes as the brokers of one cluster, on one data directory and one catalog.

`ownership` says who serves what, `remote_log` stands where a partition is another's, `peers` is
what can be asked of the others. With one process all of it is trivial and costs nothing.
What must not enter: how processes are started, what is in the catalog.
"""
