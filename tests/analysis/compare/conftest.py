"""Pages are costly to draw: one is made for all tests that only read it."""

from __future__ import annotations

from pathlib import Path

import drawn_comparison as drawn
import pytest

from scrframe.analysis.compare.page import comparison_page
from scrframe.analysis.compare.result import Comparison, ResidualTable
from scrframe.report.page import write_page


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
    write_page(comparison_page(comparison, drawn.costs(), tables), place)
    return place
