"""A cut that leaves nothing says what it met."""

from __future__ import annotations

import pytest

import scrframe
from scrframe.errors import CalibrationError


@pytest.mark.parametrize(
    ("change", "cut", "column"),
    [
        ("selection.calibration.1=mag > 40", "mag > 40", "mag"),
        ("selection.calibration.4=bp_rp < -5", "bp_rp < -5", "bp_rp"),
        ("selection.calibration.5=extinction_err < 0", "extinction_err < 0", "extinction_err"),
        ("selection.control.0=ra > 300", "ra > 300", "ra"),
    ],
)
def test_a_cut_that_leaves_nothing_says_what_it_met(tiny_survey, tmp_path, change, cut, column):
    survey = scrframe.load_survey(tiny_survey.description, overrides=[*tiny_survey.changes, change])
    with pytest.raises(CalibrationError) as caught:
        scrframe.calibrate(survey, data=tiny_survey.data, out=tmp_path / "run", workers=1)
    said = str(caught.value)
    assert cut in said.replace("'", "")
    low, high = said.split(f"there {column} is ")[1].split(" (", maxsplit=1)[0].split(" to ")
    assert float(low) < float(high)
