"""Thousands of ingest streams over gRPC, on a topic whose partitions come and go with the load.

Every stream numbers its records; it is asked to close, drains, and is opened anew all the time. At
the end the log is read, and must have every acknowledged record, each stream in its order.
"""
