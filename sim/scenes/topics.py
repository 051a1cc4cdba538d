"""Topics that come and go, whatever happens meanwhile."""

from collections.abc import Iterator
from typing import Final

from sim.clients.admin import Admin
from sim.clients.client import Client, Site
from sim.scenes.scene import Reader, Scene

__all__ = ["Topics"]

ADMINS: Final = 2
TOPICS: Final = 4
"""Of each."""


class Topics(Scene):
    """A topic that was created is there, one that was deleted is not."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._admins = [Admin(site, f"admin{number}", TOPICS) for number in range(ADMINS)]

    def clients(self) -> Iterator[Client]:
        yield from self._admins

    async def judge(self, reader: Reader) -> list[str]:
        """Both answers are asked for once more: an admin notices what does not fit."""
        problems = []
        for admin in self._admins:
            for topic in [name for name, known in admin.is_there.items() if known is not None]:
                await admin.create(reader.connection, topic)
                await admin.delete(reader.connection, topic)
                if admin.is_there[topic] is not False:
                    problems.append(f"{topic} cannot be created and deleted")
        return problems
