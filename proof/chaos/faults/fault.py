"""What a fault is. `FAULTS` in the package's `__init__` are all of them."""

import random
import shutil

from proof.chaos.site import Site

__all__ = ["Fault", "lacks_program"]


class Fault:
    """Begun and healed once a time, by one thread; it keeps between the two what healing takes.

    `start` and `heal` return after what they did; everything random comes from `chance`.
    """

    name: str
    hold_s: tuple[float, float] = (1.0, 6.0)
    """How long it lasts, from a range; 0 for what is over at once."""
    is_aside: bool = False
    """Whether it leaves the broker's process and disk alone: it may come on top of another."""

    def lacks(self, site: Site) -> str | None:
        """What this machine does not have for it; None if it can be done."""
        return None

    def start(self, site: Site, chance: random.Random) -> str:
        """Begin it; what exactly was done, in a few words."""
        raise NotImplementedError

    def heal(self, site: Site) -> None:
        """Nothing to be done for what heals itself."""


def lacks_program(name: str, package: str = "") -> str | None:
    if shutil.which(name) is None:
        return f"there is no {name}" + (f" (package {package})" if package else "")
    return None
