"""What no run may end well with: test stars missed by magnitudes, and an R out of all bounds."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from scrframe.errors import CalibrationError
from scrframe.run.colour_model import require_believable
from scrframe.scr import training
from scrframe.scr.reddening_law import constant_law

RANGE = (5.0, 95.0)
SEEN = SimpleNamespace(extinction=np.array([0.1, 0.5, 0.9]))
FINE = SimpleNamespace(
    test=training.TestScore(0.99, 0.07, 100),
    colour0_mag=np.array([1.0, 2.0, np.nan]),
    law=constant_law(1.4, 2),
)


def but(**changes):
    return SimpleNamespace(**{**vars(FINE), **changes})


def test_ordinary_figures_are_believed():
    require_believable(FINE, SEEN, RANGE)
    require_believable(but(test=training.TestScore(float("nan"), float("nan"), 1)), SEEN, RANGE)
    require_believable(but(law=constant_law(-2.5, 0)), SEEN, RANGE)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"test": replace(FINE.test, dispersion_mag=3.2)}, "misses its 100 test stars by 3.20 mag"),
        ({"law": constant_law(-2345.6, 1)}, "has R = -2346"),
        ({"law": constant_law(float("nan"), 0)}, "has R = nan"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_look_at(changes, words):
    with pytest.raises(CalibrationError, match=words) as refusal:
        require_believable(but(**changes), SEEN, RANGE)
    assert "look at" in str(refusal.value)
