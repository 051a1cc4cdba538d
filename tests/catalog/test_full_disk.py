import subprocess
import sys
from pathlib import Path

# In a process of its own: the limit on the size of files, which stands for a full disk, would hold
# for all that the tests' process writes.
_PROGRAM = """
import asyncio, resource, sys
from headrace.catalog.catalog import Catalog
from headrace.wire.errors import RequestError

def limit(bytes_max):
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, hard))

async def main():
    catalog = await Catalog.open(sys.argv[1])
    committed = refused = 0
    limit(400_000)
    while not refused:
        try:
            await catalog.offsets.commit("g", [("t", 0, committed + 1, -1, "m" * 1000)], 1)
            committed += 1
        except RequestError as error:
            assert error.code.name == "KAFKA_STORAGE_ERROR", error
            refused += 1
    assert committed > 10
    (row,) = await catalog.offsets.load_all()
    assert row.offset == committed, row
    limit(resource.RLIM_INFINITY)
    await catalog.offsets.commit("g", [("t", 0, committed + 1, -1, "")], 1)
    await catalog.close()
    catalog = await Catalog.open(sys.argv[1])
    (row,) = await catalog.offsets.load_all()
    assert row.offset == committed + 1, row
    await catalog.close()

asyncio.run(main())
"""


def test_a_file_that_cannot_grow_refuses_and_recovers(tmp_path: Path):
    program = [sys.executable, "-c", _PROGRAM, str(tmp_path)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
