"""Somebody sends what no client would, while others work. See `proof.chaos.vandal`."""

import random
import subprocess
import sys

from proof.chaos.faults.fault import Fault
from proof.chaos.site import Site

__all__ = ["Vandals"]


class Vandals(Fault):
    """Noise, impossible lengths, changed requests and bombs, beside the load."""

    name = "vandals"
    is_aside = True
    hold_s = (2.0, 8.0)

    def start(self, site: Site, chance: random.Random) -> str:
        seed = chance.randrange(10**9)
        command = [sys.executable, "-m", "proof.chaos.vandal", str(site.port), str(seed)]
        self._process = subprocess.Popen(command, start_new_session=True)
        return f"seed {seed}"

    def heal(self, site: Site) -> None:
        self._process.kill()
        self._process.wait()
