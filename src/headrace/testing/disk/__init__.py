"""Disks that tests and simulations put under the log, in place of the system's."""

from headrace.testing.disk.mounting import mounted

__all__ = ["mounted"]
