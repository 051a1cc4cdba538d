"""The way between clients and broker is bad for a while. See `proof.chaos.proxy.Weather`."""

import random

from proof.chaos.faults.fault import Fault
from proof.chaos.proxy import FAIR, Weather
from proof.chaos.site import Site

__all__ = ["Cut", "Dribble", "HalfClose", "Lag", "Resets", "Throttle"]


class _Network(Fault):
    is_aside = True
    hold_s = (2.0, 8.0)

    def heal(self, site: Site) -> None:
        site.proxy.weather = FAIR


class Lag(_Network):
    """Everything comes late."""

    name = "lag"

    def start(self, site: Site, chance: random.Random) -> str:
        weather = Weather(delay_s=chance.uniform(0.0, 0.2), jitter_s=chance.uniform(0.0, 0.5))
        site.proxy.weather = weather
        return f"{weather.delay_s:.2f} s and up to {weather.jitter_s:.2f} s more"


class Throttle(_Network):
    """Few bytes a second."""

    name = "throttle"

    def start(self, site: Site, chance: random.Random) -> str:
        rate = round(10 ** chance.uniform(3.5, 5.5))
        site.proxy.weather = Weather(bytes_per_s=rate, chunk_bytes=1 << 12)
        return f"{rate} bytes/s each way"


class Dribble(_Network):
    """Few bytes at a time."""

    name = "dribble"

    def start(self, site: Site, chance: random.Random) -> str:
        size = chance.choice([1, 3, 61])
        site.proxy.weather = Weather(chunk_bytes=size)
        return f"{size} bytes at a time"


class Resets(_Network):
    """Requests are never heard, and answers lost after the work was done."""

    name = "resets"

    def start(self, site: Site, chance: random.Random) -> str:
        up, down = chance.choice([(20, 0), (0, 20), (30, 30)])
        site.proxy.weather = Weather(reset_up_one_in=up, reset_down_one_in=down)
        return f"one in {up} requests, one in {down} answers"


class HalfClose(_Network):
    """Clients' side of a connection is closed in the middle, the broker may go on answering."""

    name = "half-close"

    def start(self, site: Site, chance: random.Random) -> str:
        site.proxy.weather = Weather(half_close_one_in=30)
        return "one in 30 requests is the last"


class Cut(_Network):
    """Nothing passes, one way or both: half-open connections. When it is over, what was held
    arrives late, or every connection is reset."""

    name = "cut"
    hold_s = (2.0, 14.0)

    def start(self, site: Site, chance: random.Random) -> str:
        up, down = chance.choice([(True, True), (True, False), (False, True)])
        self._resets = chance.random() < 0.5
        site.proxy.weather = Weather(stalls_up=up, stalls_down=down)
        way = "both ways" if up and down else "to the broker" if up else "from the broker"
        return f"{way}, then {'reset' if self._resets else 'delivered late'}"

    def heal(self, site: Site) -> None:
        if self._resets:
            site.proxy.reset_all()
        super().heal(site)
