"""What all tests share: no influence from the user's own settings, and data not shipped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from small_tables import SEQUENTIAL, SmallTables, small_tables

import scrframe
from scrframe.config import SimulationSettings

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
        patch.setenv("SCRFRAME_SCHEDULER", "")  # and no settings
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


#: What lets a survey of two fields calibrate, in seconds.
TINY = (
    "offsets.min_stars=3",
    "offsets.levels.pixel.size=1025 pix",
    "offsets.joint.max_rounds=4",
    "colour_model.random_forest.trees=20",
    "report.enabled=false",  # drawn where a test looks at it
)


@dataclass(frozen=True)
class Tiny:
    """A description, its simulated data tree, and the changes that suit its size."""

    description: Path
    data: Path
    changes: tuple[str, ...] = TINY

    @property
    def options(self) -> list[str]:
        """The changes as options of the command line."""
        return [word for change in self.changes for word in ("--set", change)]


@pytest.fixture(scope="session")
def tiny_survey(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Return a simulated survey of two fields, four catalogues."""
    description = Path(__file__).parents[1] / "surveys" / "vphas_u.yaml"
    survey = scrframe.load_survey(description, overrides=TINY)
    tree = tmp_path_factory.mktemp("survey") / "tree"
    settings = SimulationSettings(fields=2, density=1000.0, seed=3)
    scrframe.simulate_survey(survey, tree, settings=settings)
    return Tiny(description, tree)


@pytest.fixture(scope="session")
def tiny_run(tiny_survey: Tiny, tmp_path_factory: pytest.TempPathFactory) -> scrframe.Run:
    """Return a finished run of the tiny survey."""
    survey = scrframe.load_survey(tiny_survey.description, overrides=tiny_survey.changes)
    out = tmp_path_factory.mktemp("runs") / "tiny"
    return scrframe.calibrate(survey, data=tiny_survey.data, out=out, workers=1)


@pytest.fixture(scope="session")
def small_survey(tmp_path_factory: pytest.TempPathFactory) -> SmallTables:
    """Return a survey in one table."""
    return small_tables(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def small_run(small_survey: SmallTables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return its run in mode joint, with every kind of term over the detectors."""
    return small_survey.calibrate(tmp_path_factory.mktemp("runs") / "joint")


@pytest.fixture(scope="session")
def small_sequential(small_survey: SmallTables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return its run in mode sequential."""
    return small_survey.calibrate(tmp_path_factory.mktemp("runs") / "sequential", *SEQUENTIAL)
