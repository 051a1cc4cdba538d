"""Where clients come in. Each protocol is a door of its own; doors do not know each other.

A door turns bytes into calls of `broker` services and answers into bytes. What must not enter:
files, SQL, decisions about order or ownership.
"""
