"""An ext4 in a file, mounted through a loop device: a disk whose power can be cut.

A copy of the file is what a disk would have at that moment: what the file system has not written
yet is not in it. Mounting the copy replays its journal, as a machine does that comes back. It
models the loss of what the operating system held, not a drive that lies about its cache.
"""

import errno
import os
import shutil
import subprocess
from pathlib import Path

__all__ = ["SIZE_BYTES", "Volume", "why_no_volume"]

SIZE_BYTES = 256 << 20
BLOCK_BYTES = 4096


def why_no_volume() -> str | None:
    """What this machine lacks for it; None if it can be done."""
    if os.geteuid() != 0:
        return "a file system can only be mounted by root"
    for program in ("mkfs.ext4", "mount", "umount", "cp"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    if not Path("/dev/loop-control").exists():
        return "there is no loop device"
    return None


class Volume:
    """Mounted at `path`, a directory."""

    def __init__(self, directory: Path) -> None:
        """Raises RuntimeError when it cannot be mounted here."""
        self.path = directory / "disk"
        self._image = directory / "disk.img"
        self._crashed = directory / "crashed.img"
        self._balloon = self.path / "balloon"
        self.path.mkdir()
        with open(self._image, "wb") as file:
            file.truncate(SIZE_BYTES)
        # Blocks of a page's size, as on any real disk; and no reserve, so that full is full.
        _run("mkfs.ext4", "-q", "-F", "-b", str(BLOCK_BYTES), "-m", "0", str(self._image))
        self._mount()

    def copy(self) -> None:
        """Keep what the disk has now."""
        _run("cp", "--sparse=always", str(self._image), str(self._crashed))

    def go_back(self) -> None:
        """Have the disk as it was when it was copied. Nobody may have a file on it open."""
        _run("umount", str(self.path))
        self._crashed.replace(self._image)
        self._mount()

    def fill(self, leave_bytes: int) -> None:
        """With a balloon, while others write too."""
        with open(self._balloon, "wb") as file:
            end, size = 0, self._free_bytes() - leave_bytes
            while size >= BLOCK_BYTES:
                try:
                    os.posix_fallocate(file.fileno(), end, size)
                    end += size
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                size = min(size // 2, self._free_bytes() - leave_bytes)

    def empty(self) -> None:
        self._balloon.unlink(missing_ok=True)

    def close(self) -> None:
        """It need not be mounted any more."""
        subprocess.run(["umount", "-l", str(self.path)], check=False, capture_output=True)

    def _free_bytes(self) -> int:
        stat = os.statvfs(self.path)
        return stat.f_bavail * stat.f_frsize

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.path))


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
