"""The seam: the log reaches the disk through `headrace.log.disk`, and through nothing else."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import headrace.log
from headrace.log import disk as log_disk
from headrace.testing.disk import mounted

PACKAGE = Path(headrace.log.__file__).parent
ALLOWED_OF_OS = {"getpid", "path", "strerror", "urandom"}
ALLOWED_OF_PATH = {"abspath", "basename", "dirname", "join", "split", "splitext"}
FORBIDDEN_MODULES = {
    *("fcntl", "fileinput", "glob", "io", "mmap", "pathlib", "posix", "shutil", "tempfile"),
}


def bypasses(source: str) -> Iterator[str]:
    """What in `source` does a disk's work without the seam."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            modules = names if isinstance(node, ast.Import) else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and node.module in {"os", "os.path"}:
                yield f"from {node.module} import {', '.join(names)}"
            yield from (f"import {name}" for name in modules if name in FORBIDDEN_MODULES)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"open", "os.fdopen"}:
            yield ast.unparse(node)
        elif isinstance(node, ast.Attribute):
            module = ast.unparse(node.value)
            if module == "os.path" and node.attr not in ALLOWED_OF_PATH:
                yield ast.unparse(node)
            if module == "os" and node.attr not in ALLOWED_OF_OS and node.attr[:2] != "O_":
                yield ast.unparse(node)


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_no_other_module_of_the_log_touches_files(path):
    found = list(bypasses(path.read_text()))
    assert bool(found) == (path.stem == "disk"), found


@pytest.mark.parametrize(
    "line",
    [
        *("import shutil", "from os import pread", "import os; os.pwrite(1, b'', 0)"),
        *("open('x')", "import os; os.path.exists('x')", "import os\nread = os.preadv"),
    ],
)
def test_a_bypass_is_noticed(line):
    assert list(bypasses(line))


def test_who_uses_the_disk_asks_for_it_at_each_call():
    """A name that was imported once would stay the old disk's."""
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.module == "headrace.log.disk")


def test_a_disk_lacks_no_call():
    class Half:
        pread = pwrite = None

    before = [getattr(log_disk, name) for name in log_disk.CALLS]
    with pytest.raises(AttributeError), mounted(Half()):
        pass
    assert [getattr(log_disk, name) for name in log_disk.CALLS] == before
