"""The rounds of the iteration: when the law's order is chosen, and what it is fitted to."""

from types import SimpleNamespace

import numpy as np
import pytest
from law_draws import draw

from scrframe.scr import reddening_law
from scrframe.scr.iteration import IterationSettings, iterate
from scrframe.scr.observations import Observations, model_magnitudes
from scrframe.tables.settings import ReddeningSettings

TERMS, TRUE = ((1, 0), (0, 0), (0, 1)), np.array([0.08, 1.45, -0.05])


class Known:
    """Predicts the true colours, and notes the efforts that it was asked for."""

    has_trend = True

    def __init__(self, colour0_mag):
        self.colour0_mag, self.efforts = colour0_mag, []

    def predict(self, labels, effort):
        self.efforts.append(effort)
        return self.colour0_mag


def run(law, slope_sd=0.0):
    drawn = draw(1, TERMS, TRUE, stars=12_000, slope_sd=slope_sd)
    count = len(drawn["visit"])
    seen = Observations(
        mag=15 + drawn["colour0_mag"] + drawn["excess_mag"],
        mag_err=np.full(count, 0.01),
        reference_mag=np.full(count, 15.0),
        extinction=drawn["extinction"],
        star=np.arange(count),
        visit=drawn["visit"],
        in_control=drawn["fields"].code < 6,
        stars=count,
        used=np.ones(count, dtype=bool),
        fields=drawn["fields"],
    )
    predictor = Known(drawn["colour0_mag"])
    # No offset settles so finely: all rounds are gone through.
    settings = IterationSettings(law, max_rounds=4, tolerance_mag=0.0, regrow_rounds=2)
    plan = SimpleNamespace(test=np.flatnonzero(seen.in_control)[:100])
    return seen, predictor, iterate(seen, predictor, plan, settings, lambda _: None), drawn


def test_the_order_is_chosen_while_the_structure_grows_and_then_held(monkeypatch):
    chosen = []
    choose = reddening_law.choose_order
    monkeypatch.setattr(
        reddening_law, "choose_order", lambda *given: chosen.append(1) or choose(*given)
    )
    auto = ReddeningSettings(order="auto", extinction_order="auto", tolerance=1e-12)
    _, predictor, result, _ = run(auto)
    assert len(chosen) == sum(effort != "hold" for effort in predictor.efforts)
    assert 0 < len(chosen) < len(predictor.efforts)
    assert result.law.terms == TERMS
    assert next(s.order for s in result.law.scores if s.chosen) == 1


def test_model_magnitudes_have_the_extinction_in_the_law():
    seen, _, result, drawn = run(ReddeningSettings(order=1, extinction_order=1))
    ratio = result.law.ratio(drawn["colour0_mag"], seen.extinction)
    assert np.ptp(ratio - (TRUE[0] * drawn["colour0_mag"] + TRUE[1])) > 0.05
    expected = 15 + drawn["colour0_mag"] + ratio * seen.extinction
    np.testing.assert_allclose(result.model_mag, expected, rtol=0, atol=1e-12)
    again = model_magnitudes(drawn["colour0_mag"], result.law, seen)
    np.testing.assert_array_equal(result.model_mag, again)


def test_fields_reach_the_law():
    _, _, result, drawn = run(
        ReddeningSettings(order=1, extinction_order=1, field_slopes=True), 0.04
    )
    slopes = result.law.slopes
    assert slopes.field == drawn["fields"].name
    assert slopes.sd == pytest.approx(0.04, rel=3 / np.sqrt(48))
    assert np.corrcoef(slopes.slope, drawn["slope"])[0, 1] > 0.9


@pytest.mark.parametrize(
    ("changes", "settled"),
    [
        ([0.05], None),
        ([0.05, 0.0004], True),
        ([0.05, 0.02, 0.01, 0.008, 0.007, 0.006, 0.0055], None),  # slow, but it gains
        ([0.05, 0.006, *[0.008] * 4], None),
        ([0.05, 0.006, *[0.008] * 5], False),  # it swings
    ],
)
def test_rounds_go_on_as_long_as_they_gain(changes, settled):
    settings = IterationSettings(ReddeningSettings(), 20, tolerance_mag=0.0005, regrow_rounds=2)
    assert settings.settled(changes) is settled
