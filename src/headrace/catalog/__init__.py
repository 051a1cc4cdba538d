"""What exists: topics, configurations, groups, committed offsets, transactions and producer ids, in
one SQLite file. All SQL of the house is in this package, one file per subject; what the rows mean
for a running broker is decided in `broker`.
"""
