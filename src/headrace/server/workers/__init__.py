"""`headrace serve --workers N`: N broker processes on one data directory, and the one above them.

`supervisor` starts the others and starts again whoever ends; it serves no client. What it took once
for all of them (`ports`, `directory`) each gets as its `part`, and `main` is what runs in it.
What must not enter: what a request means.
"""
