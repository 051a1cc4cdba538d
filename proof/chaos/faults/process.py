"""The process dies, or stands still and goes on."""

import random

from proof.chaos.faults.fault import Fault
from proof.chaos.site import Site

__all__ = ["Kill", "Pause", "Restart"]

IN_VAIN_S = (0.05, 0.6)
"""After which a start is killed: amid its imports, its recovery, or when it serves already."""


class Kill(Fault):
    """SIGKILL, and now and then more of them amid the starts that follow."""

    name = "kill"
    hold_s = (0.1, 1.0)

    def start(self, site: Site, chance: random.Random) -> str:
        site.kill()
        starts = chance.choice([0, 0, 0, 1, 3])
        for _ in range(starts):
            site.begin_start(chance.uniform(*IN_VAIN_S))
            site.kill()
        return f"SIGKILL, {starts} starts in vain" if starts else "SIGKILL"

    def heal(self, site: Site) -> None:
        site.start()


class Restart(Fault):
    """SIGTERM, a clean end, and a start."""

    name = "restart"
    hold_s = (0.0, 0.5)

    def start(self, site: Site, chance: random.Random) -> str:
        site.stop()
        return "SIGTERM"

    def heal(self, site: Site) -> None:
        site.start()


class Pause(Fault):
    """SIGSTOP for a while. Sessions of members end meanwhile, transactions run out of time."""

    name = "pause"
    hold_s = (1.0, 15.0)

    def start(self, site: Site, chance: random.Random) -> str:
        site.freeze()
        return "SIGSTOP"

    def heal(self, site: Site) -> None:
        site.thaw()
