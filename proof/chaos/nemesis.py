"""Who maltreats the broker: draws faults from the seed, heals them, and sees that work goes on.

Between two draws it is quiet for a while. One draw in four is no fault; now and then a fault that
leaves the broker alone (bad network, crowds, vandals) comes on top of another. Each draw has random
numbers of its own, so that what one does with them changes nothing for the next.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proof.chaos.faults import Fault
from proof.chaos.load import Load
from proof.chaos.site import Site

__all__ = ["Incident", "Nemesis"]

QUIET_S: Final = (0.5, 3.0)
NONE_SHARE: Final = 0.25
ON_TOP_SHARE: Final = 0.25
CHANGE_GROUPS_SHARE: Final = 0.3
RECOVER_S_MAX: Final = 40.0
"""After the healing everybody must have got on within this."""
LOOK_S: Final = 0.02


@dataclass
class Incident:
    fault: str
    what: str
    at_s: float
    """From the beginning of the round."""
    lasted_s: float = 0.0
    recovered_s: float = 0.0
    """From the healing until every producer had an acknowledgement."""


class Nemesis:
    def __init__(self, site: Site, load: Load, faults: Sequence[Fault], seed: str) -> None:
        self._site = site
        self._load = load
        self._faults = faults
        self._asides = [fault for fault in faults if fault.is_aside]
        self._seed = seed
        self.incidents: list[Incident] = []
        self.problems: list[str] = []
        self.resident_bytes_max = 0

    def rage(self, seconds: float) -> None:
        """For so long, and until the last fault is healed. Raises BrokerDown."""
        began = time.monotonic()
        draw = 0
        while time.monotonic() < began + seconds:
            draw += 1
            chance = random.Random(f"{self._seed}/{draw}")
            time.sleep(chance.uniform(*QUIET_S))
            if chance.random() < CHANGE_GROUPS_SHARE:
                self._load.change_groups()
            at_s = time.monotonic() - began
            if not self._faults or chance.random() < NONE_SHARE:
                self.incidents.append(Incident("none", "", at_s))
                continue
            chosen = [chance.choice(self._faults)]
            if self._asides and not chosen[0].is_aside and chance.random() < ON_TOP_SHARE:
                chosen.append(chance.choice(self._asides))
            self._suffer(chosen, chance, at_s)

    def _suffer(self, chosen: Sequence[Fault], chance: random.Random, at_s: float) -> None:
        begun: list[tuple[Fault, Incident]] = []
        hold_s = chance.uniform(*chosen[0].hold_s)
        since = time.monotonic()
        try:
            for fault in chosen:
                incident = Incident(fault.name, "", at_s)
                self.incidents.append(incident)
                begun.append((fault, incident))
                incident.what = fault.start(self._site, chance)
            time.sleep(hold_s)
        finally:
            for fault, incident in reversed(begun):
                if incident.what:
                    fault.heal(self._site)
                incident.lasted_s = time.monotonic() - since
        self._site.look()
        self._recover([incident for _, incident in begun])

    def _recover(self, incidents: Sequence[Incident]) -> None:
        since = time.monotonic()
        before = self._load.progress()
        while not all(now > then for now, then in zip(self._load.progress(), before, strict=True)):
            if time.monotonic() > since + RECOVER_S_MAX:
                names = " and ".join(incident.fault for incident in incidents)
                stuck = [
                    number
                    for number, (now, then) in enumerate(
                        zip(self._load.progress(), before, strict=True)
                    )
                    if now <= then
                ]
                self.problems.append(
                    f"no progress within {RECOVER_S_MAX:.0f} s after {names} was healed: {stuck}"
                )
                break
            time.sleep(LOOK_S)
        for incident in incidents:
            incident.recovered_s = time.monotonic() - since
        self.resident_bytes_max = max(self.resident_bytes_max, self._site.resident_bytes_max())
