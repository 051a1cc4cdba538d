"""The command `headrace`: one file per verb, each a client like any other.

What must not enter: anything behind the server's configuration, except to start it; a connection
that is not Kafka's own protocol, so that every verb works with any Kafka broker.
"""
