"""Disks that tests and simulations put under the log, in place of the system's.

`MemoryDisk` is a file system in memory that knows what a power cut would leave of it, `FaultDisk`
is one that fails on demand, `mounted` puts either under the log. What must not enter: the log.
"""

from headrace.testing.disk.faults import CHANGES, SYNCS, FaultDisk
from headrace.testing.disk.inodes import SECTOR_BYTES, Loss
from headrace.testing.disk.memory import MemoryDisk
from headrace.testing.disk.mounting import mounted

__all__ = ["CHANGES", "SECTOR_BYTES", "SYNCS", "FaultDisk", "Loss", "MemoryDisk", "mounted"]
