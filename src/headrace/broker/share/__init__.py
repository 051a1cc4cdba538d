"""Share groups at work (KIP-932): many consumers for one partition, each record acknowledged.

`ShareGroups` is what others use. Whether a record may be delivered is decided by
`groups.share_partition`; what must not enter: who is a member (`group_coordinator`), how a request
looks.
"""
