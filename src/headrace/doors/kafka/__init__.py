"""The Kafka door: one TCP port, one handler file per API key.

`listener` accepts, `connection` keeps requests and answers in order, `inbox` and `outbox` hold the
bytes, `dispatch` finds the handler, `registry` lists them all, `kNN_*` are the handlers.
"""
