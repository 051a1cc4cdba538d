"""System calls of the running broker are made to fail or to wait, by strace; and a full disk."""

import random
import subprocess
import time
from pathlib import Path

from proof.chaos.faults.fault import Fault, lacks_program
from proof.chaos.faults.power import cut_power
from proof.chaos.site import Site

__all__ = ["FailingSync", "FailingWrite", "FullDisk", "SlowDisk"]

ATTACH_S_MAX = 10.0
SYNCS = "fdatasync,fsync,syncfs"
WRITES = "pwrite64,pwritev,pwritev2"


class _Injected(Fault):
    """strace is attached to the process while the fault lasts."""

    calls: str

    def lacks(self, site: Site) -> str | None:
        return lacks_program("strace", "strace")

    def attach(self, site: Site, how: str) -> None:
        self._strace = subprocess.Popen(
            [
                *("strace", "-f", "-qq", "-o", "/dev/null", "-p", str(site.pid)),
                *("-e", f"trace={self.calls}", "-e", f"inject={self.calls}:{how}"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + ATTACH_S_MAX
        while not _is_traced(site.pid):
            if self._strace.poll() is not None or time.monotonic() > deadline:
                self.detach()
                raise RuntimeError("strace could not be attached")
            time.sleep(0.01)

    def detach(self) -> None:
        self._strace.terminate()
        self._strace.wait()


def _is_traced(pid: int) -> bool:
    return all(
        "TracerPid:\t0\n" not in (thread / "status").read_text()
        for thread in Path(f"/proc/{pid}/task").iterdir()
    )


class FailingSync(_Injected):
    """Syncs fail with EIO. That is final, so the broker is started again; half of the times the
    power is cut too, and what was in doubt is lost indeed."""

    name = "failing-sync"
    calls = SYNCS
    hold_s = (1.0, 4.0)

    def start(self, site: Site, chance: random.Random) -> str:
        nth = chance.choice(["1+", "2", "5", "20", "1+3"])
        self._cuts_power = chance.random() < 0.5 and site.volume is not None
        self.attach(site, f"error=EIO:when={nth}")
        return f"EIO, when={nth}, then {'power cut' if self._cuts_power else 'SIGKILL'}"

    def heal(self, site: Site) -> None:
        self.detach()
        if self._cuts_power:
            cut_power(site)
        else:
            site.kill()
        site.start()


class FailingWrite(_Injected):
    """Writes fail with EIO or ENOSPC. They are refused, and no restart is needed."""

    name = "failing-write"
    calls = WRITES

    def start(self, site: Site, chance: random.Random) -> str:
        error = chance.choice(["EIO", "ENOSPC"])
        nth = chance.choice(["1+", "1+2", "3+7"])
        self.attach(site, f"error={error}:when={nth}")
        return f"{error}, when={nth}"

    def heal(self, site: Site) -> None:
        self.detach()


class SlowDisk(_Injected):
    """Every write and every sync waits first."""

    name = "slow-disk"
    calls = f"{SYNCS},{WRITES}"
    hold_s = (2.0, 8.0)

    def start(self, site: Site, chance: random.Random) -> str:
        delay_us = round(10 ** chance.uniform(3, 5.5))
        self.attach(site, f"delay_enter={delay_us}")
        return f"{delay_us / 1000:.0f} ms before every write and sync"

    def heal(self, site: Site) -> None:
        self.detach()


class FullDisk(Fault):
    """A balloon takes the space, and the broker may be killed on what is left."""

    name = "full-disk"
    hold_s = (1.0, 6.0)

    def lacks(self, site: Site) -> str | None:
        return site.why_no_volume

    def start(self, site: Site, chance: random.Random) -> str:
        assert site.volume is not None
        leave_bytes = chance.choice([0, 0, 4096, 100_000, 1_000_000])
        site.volume.fill(leave_bytes)
        self._kills = chance.random() < 0.3
        return f"{leave_bytes} bytes free" + (", SIGKILL on it" if self._kills else "")

    def heal(self, site: Site) -> None:
        assert site.volume is not None
        if self._kills:
            site.kill()
            site.start()
        site.volume.empty()
