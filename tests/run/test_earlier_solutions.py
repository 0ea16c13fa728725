"""Solutions that earlier versions wrote correct catalogues as they did then.

`tests/fixtures/solution_0_1_0` holds the folders ``solution`` of two runs of version 0.1.0 on a
simulated survey of two fields, one in each mode, one of its catalogues with a star on each CCD, and
what ``scrframe apply`` of that version appended to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

import scrframe
from scrframe.observer import Observer

WRITTEN = Path(__file__).parents[1] / "fixtures" / "solution_0_1_0"
#: Sums of offsets of up to some tenths of a magnitude, in another order at most.
ROUNDING_MAG = 1e-12


@pytest.mark.parametrize("mode", ["joint", "sequential"])
def test_solutions_of_0_1_0_are_applied(mode, tmp_path):
    (done,) = scrframe.apply(WRITTEN / mode, [WRITTEN / "catalogues"], out=tmp_path)
    expected = Table.read(WRITTEN / f"expected_{mode}.csv", format="ascii.csv")
    assert done.detections == len(expected) == 32
    names = [name for name in expected.colnames if name.isupper()]
    with fits.open(tmp_path / expected["file"][0]) as hdus:
        for number, ccd in enumerate(expected["ccd"].tolist()):
            row = hdus[ccd].data[expected["row"][number]]
            assert [name for name in hdus[ccd].columns.names if name in names] == names
            for name in names:
                stored = np.ma.filled(expected[name].astype(float), np.nan)[number]
                np.testing.assert_allclose(row[name], stored, rtol=0, atol=ROUNDING_MAG)


def test_colours_without_colour_terms_are_said_to_be_of_no_use(tmp_path):
    class Heard(Observer):
        warnings: ClassVar[list[str]] = []

        def warning(self, text):
            self.warnings.append(text)

    scrframe.apply(
        WRITTEN / "joint",
        [WRITTEN / "catalogues"],
        out=tmp_path,
        colours="colours.parquet",
        observer=Heard(),
    )
    assert Heard.warnings == ["colours.parquet: not used, as the solution has no colour terms"]
