"""Programs from Debian's packages, unpacked beside the system and not installed into it: no
service is started, and no rights are needed. apt checks what it downloads."""

import glob
import os
import shutil
import subprocess

from bench.peers.installed import NotInstalled, cache

__all__ = ["find", "unpack"]

SYSTEM_FOLDERS = "/usr/sbin"
"""Where servers are that are not on everybody's path."""


def _root(program: str) -> str:
    return cache("debian", program)


def find(program: str) -> tuple[str, dict[str, str]]:
    """Where a program is and what its environment needs; the system's own goes first.

    Raises NotInstalled.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), SYSTEM_FOLDERS])
    if found := shutil.which(program, path=path):
        return found, {}
    root = _root(program)
    for folder in ("usr/bin", "usr/sbin"):
        unpacked = os.path.join(root, folder, program)
        if os.path.exists(unpacked):
            libraries = glob.glob(os.path.join(root, "usr/lib/*-linux-gnu*"))
            return unpacked, {"LD_LIBRARY_PATH": os.pathsep.join(libraries)}
    raise NotInstalled(
        f"{program} is not here: install it, or let `scripts/bench --install-peers` fetch Debian's"
    )


def unpack(program: str, *packages: str) -> None:
    """Download these packages and unpack them together. Raises NotInstalled without apt."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise NotInstalled(f"no apt-get here: install {program} in your system's way")
    root = _root(program)
    new = f"{root}.new"
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    try:
        subprocess.run(["apt-get", "-qq", "download", *packages], cwd=new, check=True)
        for name in sorted(glob.glob(os.path.join(new, "*.deb"))):
            subprocess.run(["dpkg-deb", "-x", name, new], check=True)
            os.unlink(name)
    except subprocess.CalledProcessError as error:
        raise NotInstalled(f"{program} could not be fetched: {error}") from error
    shutil.rmtree(root, ignore_errors=True)
    os.rename(new, root)
