"""The power goes: what the operating system has not brought to the disk is lost."""

import random

from proof.chaos.faults.fault import Fault
from proof.chaos.site import Site

__all__ = ["PowerCut", "cut_power"]


AGAIN_S = (0.1, 1.0)


def cut_power(site: Site) -> None:
    """The process stands still first, so that nothing is acknowledged after the copy."""
    assert site.volume is not None
    site.freeze()
    site.volume.copy()
    site.kill()
    site.volume.go_back()


class PowerCut(Fault):
    """The disk is set back to what it had, now and then again amid the start that follows."""

    name = "power-cut"
    hold_s = (0.0, 0.3)

    def lacks(self, site: Site) -> str | None:
        return site.why_no_volume

    def start(self, site: Site, chance: random.Random) -> str:
        cut_power(site)
        again = chance.choice([0, 0, 1, 2])
        for _ in range(again):  # and again, amid the start that follows
            site.begin_start(chance.uniform(*AGAIN_S))
            cut_power(site)
        return f"{again + 1} times"

    def heal(self, site: Site) -> None:
        site.start()
