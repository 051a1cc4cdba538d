import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from headrace.catalog.catalog import Catalog


@pytest.fixture
def with_catalog(tmp_path: Path) -> Callable[..., Any]:
    """Run an async function with a catalog of this test's directory; each call opens it anew."""

    def run(body: Callable[[Catalog], Coroutine[Any, Any, Any]]) -> Any:
        async def opened() -> Any:
            catalog = await Catalog.open(str(tmp_path))
            try:
                return await body(catalog)
            finally:
                await catalog.close()

        return asyncio.run(opened())

    return run
