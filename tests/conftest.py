"""What all tests share: no influence from the user's own settings, and data not shipped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

#: Names the folder of real data that may not be shipped; tests of them skip without it.
EXTRA_DATA = "SCRFRAME_EXTRA_DATA"

# The same examples in every run, however busy the machine is, and no files left behind.
settings.register_profile("scrframe", derandomize=True, deadline=None, database=None)
settings.load_profile("scrframe")


@pytest.fixture(scope="session", autouse=True)
def own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests away from the user's data root and cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SCRFRAME_DATA", raising=False)
        patch.setenv("SCRFRAME_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def extra_data() -> Callable[[str], Path]:
    """Return a function from a file's name to its path that skips where it is missing."""

    def find(name: str) -> Path:
        folder = os.environ.get(EXTRA_DATA)
        if not folder:
            pytest.skip(f"{EXTRA_DATA} does not name the folder of {name}")
        path = Path(folder) / name
        if not path.exists():
            pytest.skip(f"{EXTRA_DATA}={folder} does not hold {name}")
        return path

    return find
