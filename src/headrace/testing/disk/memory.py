"""A file system in memory that knows what a power cut would leave of it.

It answers every call of `headrace.log.disk.CALLS` as a POSIX system does: `mounted(MemoryDisk())`
puts it under the log. Everything a program sees is in the page cache, so reads never wait. Which
part of it is on the disk, and what becomes of the rest, is in `inodes`. One lock makes each call
one moment, for programs with threads.

What must not enter: deciding that something fails (`faults`).
"""

import errno
import os
import posixpath
import threading
from collections.abc import Iterator
from typing import Final, NamedTuple

from headrace.testing.disk.inodes import Directory, File, Loss, Node

__all__ = ["MemoryDisk", "Opened", "Volume", "refusal"]

FIRST_DESCRIPTOR: Final = 1 << 20
"""Above what the system gives, so that neither takes the other's for its own."""

_WRITING: Final = os.O_WRONLY | os.O_RDWR


class Volume(NamedTuple):
    """What of `os.statvfs_result` is asked for."""

    f_frsize: int
    f_blocks: int
    f_bavail: int


class Opened(NamedTuple):
    path: str
    """Under which it was opened."""
    node: Node
    can_write: bool


def refusal(number: int, path: str | None = None) -> OSError:
    """The error of this number, of the class that Python gives it."""
    return OSError(number, os.strerror(number), path)


class MemoryDisk:
    """Empty at first. Paths are absolute."""

    def __init__(self) -> None:
        self.volume_bytes = 1 << 40
        self._root = Directory()
        self._opened: dict[int, Opened] = {}
        self._next_fd = FIRST_DESCRIPTOR
        self._locked: dict[int, int] = {}
        """Node -> the descriptor that has it alone."""
        self._lock = threading.RLock()

    # Power

    def after_power_cut(self, loss: Loss) -> "MemoryDisk":
        """Another disk: what would be found here now. This one goes on."""
        with self._lock:
            found = MemoryDisk()
            found._root = self._root.after_power_cut(loss, {})
            return found

    def crash(self, loss: Loss) -> None:
        """The power goes: no descriptor stays, and what was not on the disk is up to `loss`."""
        with self._lock:
            self._root = self._root.after_power_cut(loss, {})
            self._opened.clear()
            self._locked.clear()

    def forget_descriptors(self) -> None:
        """The process is gone, and the machine is not: no descriptor stays, every byte does."""
        with self._lock:
            self._opened.clear()
            self._locked.clear()

    # What tests ask and do

    def opened(self, fd: int) -> Opened:
        """Raises OSError EBADF."""
        try:
            return self._opened[fd]
        except KeyError:
            raise refusal(errno.EBADF) from None

    @property
    def open_paths(self) -> list[str]:
        """A path for every descriptor that is open."""
        return [opened.path for opened in self._opened.values()]

    def files(self) -> dict[str, File]:
        """Every file by its path."""
        return dict(_files("", self._root))

    def node(self, path: str) -> Node:
        """Raises FileNotFoundError, NotADirectoryError."""
        node: Node = self._root
        for name in path.split("/"):
            if name:
                node = _directory(node, path).entries.get(name) or _missing(path)
        return node

    # Descriptors

    def open_file(self, path: str, flags: int) -> int:
        with self._lock:
            node = self._to_open(path, flags)
            if isinstance(node, Directory) and flags & _WRITING:
                raise refusal(errno.EISDIR, path)
            if flags & os.O_TRUNC and isinstance(node, File):
                node.truncate(0)
            fd = self._next_fd
            self._next_fd += 1
            self._opened[fd] = Opened(path, node, bool(flags & _WRITING))
            return fd

    def close(self, fd: int) -> None:
        with self._lock:
            opened = self.opened(fd)
            del self._opened[fd]
            if self._locked.get(id(opened.node)) == fd:
                del self._locked[id(opened.node)]

    def lock(self, fd: int) -> None:
        with self._lock:
            if self._locked.setdefault(id(self.opened(fd).node), fd) != fd:
                raise refusal(errno.EWOULDBLOCK)

    def pread(self, fd: int, size_bytes: int, position: int) -> bytes:
        with self._lock:
            return bytes(self.file(fd).data[position : position + size_bytes])

    def preadv(self, fd: int, buffers: list[memoryview], position: int) -> int:
        with self._lock:
            data, done = self.file(fd).data, 0
            for buffer in buffers:
                piece = data[position + done : position + done + len(buffer)]
                buffer[: len(piece)] = piece
                done += len(piece)
            return done

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, position: int) -> int:
        with self._lock:
            if not self.opened(fd).can_write:
                raise refusal(errno.EBADF)
            piece = memoryview(data).cast("B")
            self.file(fd).write(position, piece)
            return len(piece)

    def truncate(self, fd: int, size: int) -> None:
        with self._lock:
            if not self.opened(fd).can_write:
                raise refusal(errno.EINVAL)
            self.file(fd).truncate(size)

    def send(self, socket_fd: int, fd: int, position: int, size_bytes: int) -> int:
        return os.write(socket_fd, self.pread(fd, size_bytes, position))

    def size_of(self, file: str | int) -> int:
        with self._lock:
            node = self.node(file) if isinstance(file, str) else self.opened(file).node
            return len(node.data) if isinstance(node, File) else 0

    def fsync(self, fd: int) -> None:
        with self._lock:
            self.opened(fd).node.sync()

    def fdatasync(self, fd: int) -> None:
        self.fsync(fd)

    def can_sync_volume(self) -> bool:
        return True

    def sync_volume(self, fd: int) -> None:
        with self._lock:
            self.opened(fd)
            for node in self.nodes():
                node.sync()

    def unwritten_bytes(self) -> int:
        return 0

    def volume_of(self, path: str) -> Volume:
        with self._lock:
            used = sum(len(file.data) for file in self.files().values())
            return Volume(1, self.volume_bytes, self.volume_bytes - used)

    # The page cache

    def read_cached(self, fd: int, size_bytes: int, position: int) -> bytes:
        data = self.pread(fd, size_bytes, position)
        if len(data) < size_bytes:
            raise BlockingIOError
        return data

    def is_cached(self, fd: int, position: int, size_bytes: int) -> bool:
        return self.size_of(fd) >= position + size_bytes

    def will_need(self, fd: int, position: int, size_bytes: int) -> None:
        """All of it is here."""

    def drop_cached(self, fd: int) -> None:
        with self._lock:
            self.file(fd).evict()

    # Names

    def rename(self, old: str, new: str) -> None:
        with self._lock:
            source, old_name = self._place(old)
            target, new_name = self._place(new)
            node = source.entries.get(old_name) or _missing(old)
            there = target.entries.get(new_name)
            if node is there:
                return
            if f"{old}/".startswith(f"{new}/"):
                raise refusal(errno.ENOTEMPTY, new)
            if isinstance(node, Directory):
                if f"{new}/".startswith(f"{old}/"):
                    raise refusal(errno.EINVAL, new)
                if there is not None and _directory(there, new).entries:
                    raise refusal(errno.ENOTEMPTY, new)
            elif isinstance(there, Directory):
                raise refusal(errno.EISDIR, new)
            if source is target:
                source.rename(old_name, new_name)
            else:
                source.unlink(old_name)
                target.link(new_name, node)

    def unlink(self, path: str) -> None:
        with self._lock:
            directory, name = self._place(path)
            if isinstance(directory.entries.get(name) or _missing(path), Directory):
                raise refusal(errno.EISDIR, path)
            directory.unlink(name)

    def list_names(self, path: str) -> list[str]:
        with self._lock:
            return list(_directory(self.node(path), path).entries)

    def is_there(self, path: str) -> bool:
        return self._found(path) is not None

    def is_directory(self, path: str) -> bool:
        return isinstance(self._found(path), Directory)

    def make_directories(self, path: str, *, exist_ok: bool = False) -> None:
        with self._lock:
            there = self._found(path)
            if there is not None and not (exist_ok and isinstance(there, Directory)):
                raise refusal(errno.EEXIST, path)
            node = self._root
            for name in filter(None, path.split("/")):
                if name not in node.entries:
                    node.link(name, Directory())
                node = _directory(node.entries[name], path)

    def remove_tree(self, path: str, ignore_errors: bool = False) -> None:
        with self._lock:
            try:
                directory, name = self._place(path)
                tree = _directory(directory.entries.get(name) or _missing(path), path)
                for inner, node in list(tree.entries.items()):
                    if isinstance(node, Directory):
                        self.remove_tree(posixpath.join(path, inner))
                    else:
                        tree.unlink(inner)
                directory.unlink(name)
            except OSError:
                if not ignore_errors:
                    raise

    # Inside

    def file(self, fd: int) -> File:
        """Raises OSError EBADF, EISDIR."""
        node = self.opened(fd).node
        if isinstance(node, File):
            return node
        raise refusal(errno.EISDIR)

    def nodes(self) -> list[Node]:
        """All that has a name or is open."""
        found: dict[int, Node] = {}
        waiting: list[Node] = [self._root, *(opened.node for opened in self._opened.values())]
        while waiting:
            node = waiting.pop()
            if id(node) not in found:
                found[id(node)] = node
                if isinstance(node, Directory):
                    waiting += node.entries.values()
        return list(found.values())

    def _to_open(self, path: str, flags: int) -> Node:
        directory, name = self._place(path)
        node = directory.entries.get(name) if name else directory
        if node is None:
            if not flags & os.O_CREAT:
                _missing(path)
            node = File()
            directory.link(name, node)
        elif flags & os.O_EXCL:
            raise refusal(errno.EEXIST, path)
        if flags & os.O_DIRECTORY:
            _directory(node, path)
        return node

    def _place(self, path: str) -> tuple[Directory, str]:
        above, name = posixpath.split(path.rstrip("/"))
        return _directory(self.node(above), path), name

    def _found(self, path: str) -> Node | None:
        with self._lock:
            try:
                return self.node(path)
            except (FileNotFoundError, NotADirectoryError):
                return None


def _directory(node: Node, path: str) -> Directory:
    if isinstance(node, Directory):
        return node
    raise refusal(errno.ENOTDIR, path)


def _missing(path: str) -> Node:
    raise refusal(errno.ENOENT, path)


def _files(path: str, directory: Directory) -> Iterator[tuple[str, File]]:
    for name, node in directory.entries.items():
        inner = f"{path}/{name}"
        if isinstance(node, File):
            yield inner, node
        else:
            yield from _files(inner, node)
