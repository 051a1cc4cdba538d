"""One file a client library: how a consumer of it lives as a member of a group.

A module is imported by the process that runs its members and by no other.
"""
