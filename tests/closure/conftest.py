from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import scrframe

DESCRIPTION = Path(__file__).parents[2] / "surveys" / "vphas_u.yaml"
#: Switches off what no group mean can average down: outliers of all kinds, variation of the
#: law, and the coherent part of the scatter that spectra do not show.
CLEAN = (
    "simulation.law_variation=0",
    "simulation.hidden_coherent=0",
    "simulation.outliers=0",
    "simulation.variables=0",
    "simulation.defective_column=false",
)
#: The paper's ways, where a description does not ask for them.
PAPER = (
    "offsets.mode=sequential",
    "colour_model.kind=random_forest",
    "reddening.order=2",
    "reddening.extinction_order=0",
    "reddening.field_slopes=false",
)
Close = Callable[..., tuple[Path, Path]]


def closure_seeds() -> range:
    """Return the seeds of the closure tests: one, or as many as SCRFRAME_CLOSURE_SEEDS."""
    return range(1, 1 + int(os.environ.get("SCRFRAME_CLOSURE_SEEDS", "1")))


@pytest.fixture(scope="session")
def close(tmp_path_factory: pytest.TempPathFactory) -> Close:
    """Return a function that simulates, calibrates and returns (run, tree)."""

    def run(seed: int, *changes: str) -> tuple[Path, Path]:
        folder = tmp_path_factory.mktemp("closure")
        overrides = [*PAPER, *CLEAN, f"simulation.seed={seed}", *changes]
        survey = scrframe.load_survey(DESCRIPTION, overrides=overrides)
        tree = scrframe.simulate_survey(survey, folder / "tree")
        # Tests run side by side already.
        done = scrframe.calibrate(survey, data=tree, out=folder / "run", workers=1, report=False)
        return done.path, tree

    return run
