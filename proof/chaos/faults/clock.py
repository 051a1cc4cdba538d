"""The wall clock of the broker jumps; its steady clock goes on. By libfaketime."""

import glob
import random
import time
from pathlib import Path

from proof.chaos.faults.fault import Fault
from proof.chaos.site import Site

__all__ = ["ClockJump"]

LIBRARIES = (
    "/usr/lib/*/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
)
JUMPS_S = (-10 * 365 * 86_400, -3600, -5, 5, 3600, 3 * 86_400, 10 * 365 * 86_400)
BETWEEN_S = (0.3, 1.5)


def _library() -> str | None:
    return next((path for pattern in LIBRARIES for path in glob.glob(pattern)), None)


class ClockJump(Fault):
    """The wall clock jumps a few times. The library must be there from the start, so the broker is
    started with it, and without it in the end."""

    name = "clock-jump"
    hold_s = (1.0, 4.0)

    def lacks(self, site: Site) -> str | None:
        return None if _library() else "there is no libfaketime (package faketime)"

    def start(self, site: Site, chance: random.Random) -> str:
        self._file = site.directory / "clock"
        _set(self._file, 0)
        self._kills = chance.random() < 0.5
        site.stop()
        site.start(
            {
                "LD_PRELOAD": _library() or "",
                "FAKETIME_TIMESTAMP_FILE": str(self._file),
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_NO_CACHE": "1",
            }
        )
        jumps = [chance.choice(JUMPS_S) for _ in range(chance.randint(1, 4))]
        for jump in jumps:
            time.sleep(chance.uniform(*BETWEEN_S))
            _set(self._file, jump)
        return "to " + ", ".join(f"{jump:+d} s" for jump in jumps)

    def heal(self, site: Site) -> None:
        _set(self._file, 0)
        if self._kills:
            site.kill()
        else:
            site.stop()
        site.start()


def _set(path: Path, offset_s: int) -> None:
    """In one step: the library may read it at any moment."""
    temporary = path.with_suffix(".new")
    temporary.write_text(f"{offset_s:+d}\n")
    temporary.replace(path)
