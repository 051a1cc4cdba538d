"""Become another program that does not outlive the process that started this one.

    python leash.py COMMAND [ARGUMENT...]

Linux only (prctl(2), PR_SET_PDEATHSIG; the setting survives exec). It is run as a file, with -I -S,
and imports next to nothing, because it stands between the kill and the restart of the broker.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then exec."""
    parent = os.getppid()
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() == parent:  # else it died before the call above could notice
        os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - a fixed command, no shell
    sys.exit("the process that started this one is gone")


if __name__ == "__main__":
    main()
