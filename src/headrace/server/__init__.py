"""From a configuration to a running node and back: files and variables, ports, signals.

The only package that knows all the others. What must not enter: what a request means.
"""
