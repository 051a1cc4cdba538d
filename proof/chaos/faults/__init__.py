"""The faults, one class each. What they can get hold of is `proof.chaos.site`."""

from proof.chaos.faults.clock import ClockJump
from proof.chaos.faults.crowds import Crowd, FewDescriptors, SlowReaders
from proof.chaos.faults.disk import FailingSync, FailingWrite, FullDisk, SlowDisk
from proof.chaos.faults.fault import Fault
from proof.chaos.faults.files import LostFiles, TornTail
from proof.chaos.faults.network import Cut, Dribble, HalfClose, Lag, Resets, Throttle
from proof.chaos.faults.power import PowerCut
from proof.chaos.faults.process import Kill, Pause, Restart
from proof.chaos.faults.vandals import Vandals

__all__ = ["FAULTS", "Fault"]

FAULTS: dict[str, type[Fault]] = {
    kind.name: kind
    for kind in (
        *(Kill, Restart, Pause, PowerCut, FailingSync, FailingWrite, SlowDisk, FullDisk),
        *(TornTail, LostFiles, ClockJump, Lag, Throttle, Dribble, Resets, HalfClose, Cut),
        *(Crowd, SlowReaders, FewDescriptors, Vandals),
    )
}
