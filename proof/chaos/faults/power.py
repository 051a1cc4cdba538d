"""The power goes: what the operating system has not brought to the disk is lost."""

import random

from proof.chaos.faults.fault import Fault
from proof.chaos.site import Site

__all__ = ["PowerCut", "cut_power"]


def cut_power(site: Site) -> None:
    """The process stands still first, so that nothing is acknowledged after the copy."""
    assert site.volume is not None
    site.freeze()
    site.volume.copy()
    site.kill()
    site.volume.go_back()


class PowerCut(Fault):
    name = "power-cut"
    hold_s = (0.0, 0.3)

    def lacks(self, site: Site) -> str | None:
        return site.why_no_volume

    def start(self, site: Site, chance: random.Random) -> str:
        cut_power(site)
        return "the disk as it was at one moment"

    def heal(self, site: Site) -> None:
        site.start()
