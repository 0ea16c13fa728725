"""Pages are costly to draw: one is made for all tests that only read it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import drawn

from scrframe.compare.result import Comparison
from scrframe.report.compare_data import ResidualTable
from scrframe.report.compare_page import write_comparison_page


@pytest.fixture(scope="session")
def tables() -> dict[str, ResidualTable]:
    return drawn.residual_tables()


@pytest.fixture(scope="session")
def comparison(tables: dict[str, ResidualTable]) -> Comparison:
    return drawn.comparison(tables)


@pytest.fixture(scope="session")
def folder(
    comparison: Comparison,
    tables: dict[str, ResidualTable],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Return the folder of a whole page."""
    place = tmp_path_factory.mktemp("report") / "new" / "compare"
    write_comparison_page(place, comparison, drawn.costs(), tables)
    return place
