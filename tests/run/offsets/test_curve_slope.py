"""The covariate of R_V is what another R_V makes of predicted magnitudes."""

from types import SimpleNamespace

import numpy as np
import pytest

from scrframe.run.offsets.curve_slope import REFERENCE_NM, curve_slope, spectral_shape
from scrframe.scr.features import deredden, intrinsic_features
from scrframe.scr.training import TrendSettings
from scrframe.simulate.library import law_tilt
from scrframe.spectra.curves import MEAN_RV, CurveFamily, cardelli
from scrframe.tables import Spectra, SpectralShape

BAND_NM, STARS = 354.0, 400
#: The grid of spectra, and one that reaches the band.
GRID_NM = np.arange(392.0, 993.0, 10.0)
WIDE_NM = np.concatenate([np.arange(342.0, 392.0, 10.0), GRID_NM])
TREND = TrendSettings("linear", 1e-6)


def mean_curve(wavelength_nm):
    a, b = cardelli(wavelength_nm)
    return MEAN_RV * (a + b / MEAN_RV)


@pytest.fixture
def survey():
    """Return a function from a relative change of R_V to sample, colours, model and truth.

    Or from the tilt of a curve in 1 / wavelength, by which R of the band grows. Colours are
    linear in the standardised intrinsic spectra, so that the model knows all but the curve.
    """
    rng = np.random.default_rng(2)
    x = (GRID_NM - 692) / 300
    shapes = np.stack([np.ones_like(x), x, x**2, np.cos(5 * x), np.sin(8 * x)])
    flux = np.exp(rng.normal(0, 0.25, (STARS, 5)) @ shapes)
    extinction = rng.uniform(0.2, 1.0, STARS)
    weight = rng.normal(0, 0.1, len(GRID_NM))
    k = mean_curve(GRID_NM)
    family = CurveFamily.about(WIDE_NM, mean_curve(WIDE_NM), np.arange(5, len(WIDE_NM)))
    ratio = float(-np.diff(mean_curve(np.array([BAND_NM, REFERENCE_NM])))[0])
    steeper, level = law_tilt(k, GRID_NM, ratio)
    nothing = np.zeros(STARS)

    def at(change, tilt=0.0):
        rv = np.full(STARS, MEAN_RV * (1 + change))
        tilted = mean_curve(GRID_NM) * (1 + tilt * (steeper / GRID_NM + level))
        observed = flux / family.dimming(tilted, extinction, rv, slice(5, None))
        features = intrinsic_features(observed, k, extinction, "per_star")
        intrinsic = deredden(observed, k, extinction)
        shape = SpectralShape(GRID_NM, k, intrinsic.mean(axis=1) / intrinsic.std(axis=1))
        sample = SimpleNamespace(
            shape=shape,
            features=features,
            stars={"extinction": extinction},
            star=np.arange(STARS),
            of_star=lambda name: nothing,
        )
        colour = features @ weight
        true = intrinsic_features(flux, k, nothing, "per_star") @ weight
        excess = family.excess(rv, BAND_NM, REFERENCE_NM) * (1 + tilt)
        return sample, colour, colour + ratio * extinction, true + ratio * excess * extinction

    return at


@pytest.mark.parametrize("change", [-0.02, 0.02])
def test_it_is_what_models_are_wrong_by(survey, change):
    sample, colour, model, truth = survey(change)
    slope = curve_slope(sample, colour, model, TREND)
    wrong = truth - model
    assert np.std(wrong) > 0.002
    # The step is finite, and so is the change: a few per cent of second order.
    np.testing.assert_allclose(change * slope, wrong, atol=0.06 * np.abs(wrong).max())


def explained(wrong, *columns):
    """Return coefficients of a fit with a constant, and the share of variance that is left."""
    design = np.stack([*columns, np.ones(STARS)], axis=1)
    found = np.linalg.lstsq(design, wrong, rcond=None)[0]
    return found, np.var(wrong - design @ found) / np.var(wrong)


@pytest.mark.parametrize("tilt", [-0.02, 0.02])
def test_a_curve_that_tilts_is_another_rv_to_first_order(survey, tilt):
    sample, colour, model, truth = survey(0.0, tilt)
    slope, extinction = curve_slope(sample, colour, model, TREND), sample.stars["extinction"]
    found, left = explained(truth - model, slope, extinction)
    assert left < 0.05
    assert explained(truth - model, extinction)[1] > 0.1
    # A larger R_V is a flatter curve.
    assert 0.5 < -found[0] / tilt < 2


def test_without_a_change_models_are_right(survey):
    _, _, model, truth = survey(0.0)
    np.testing.assert_allclose(model, truth, atol=1e-5)


def test_without_spectra_there_is_none(survey):
    sample, colour, model, _ = survey(0.0)
    sample.shape = None
    assert curve_slope(sample, colour, model, TREND) is None


def test_no_dust_tells_no_band(survey):
    sample, colour, model, _ = survey(0.0)
    sample.stars = {"extinction": np.zeros(STARS)}
    assert curve_slope(sample, colour, model, TREND) is None


def test_the_shape_is_made_where_a_term_reads_it():
    import scrframe
    from scrframe.plugin import load_registry
    from scrframe.run.plugins import resolve_plugins

    flux = np.random.default_rng(1).uniform(1, 2, (3, len(GRID_NM))).astype(np.float32)
    zero = np.zeros(3, dtype=np.int64)
    spectra = Spectra(np.arange(3), GRID_NM, flux, np.ones(3), zero)
    description = scrframe.load_survey("surveys/vphas_u.yaml")
    plugins = resolve_plugins(description, load_registry())
    shape = spectral_shape(plugins, spectra, np.zeros(3))
    np.testing.assert_allclose(shape.contrast, flux.mean(axis=1) / flux.std(axis=1), rtol=1e-5)
    quiet = description.model_copy(
        update={"offsets": description.offsets.model_copy(update={"terms": None})}
    )
    assert spectral_shape(resolve_plugins(quiet, load_registry()), spectra, np.zeros(3)) is None
