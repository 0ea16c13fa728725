"""What follows from what a reference catalogue provides: parameters, or colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import scrframe
from scrframe.analysis.compare.run import compare_backends
from scrframe.analysis.montecarlo.realisations import InputErrors, draw
from scrframe.analysis.montecarlo.run import monte_carlo
from scrframe.config import SimulationSettings
from scrframe.errors import ConfigError
from scrframe.products.files import save_arrow
from scrframe.run.sample.reference_data import features_to_arrow, load_features, noise_of
from scrframe.scr.features import ColumnScale
from scrframe.tables import Quantities

SURVEYS = Path(__file__).parents[2] / "surveys"
APOGEE, SYNTHETIC, SPECTRA = (
    SURVEYS / name for name in ("vphas_u_apogee.yaml", "vphas_g_synthetic.yaml", "vphas_u.yaml")
)


@pytest.fixture
def quantities():
    rng = np.random.default_rng(2)
    values = rng.normal([4800, 2.5, -0.3], [200, 0.4, 0.2], (50, 3))
    errors = np.tile([60.0, 0.08, np.nan], (50, 1))
    errors[3, 0] = np.nan
    return Quantities(
        np.arange(50),
        ("teff", "logg", "feh"),
        values,
        errors,
        np.full(50, 90.0),
        np.zeros(50, dtype=np.uint8),
    )


def test_quantities_come_back_from_their_file(quantities, tmp_path):
    save_arrow(tmp_path / "part.arrow", *features_to_arrow(quantities))
    back = load_features(tmp_path / "part.arrow")
    assert isinstance(back, Quantities)
    assert back.names == quantities.names
    for name in ("source_id", "values", "errors", "snr", "flags"):
        np.testing.assert_array_equal(getattr(back, name), getattr(quantities, name))


def test_each_column_has_its_own_scale(quantities):
    features = ColumnScale.on(quantities.values)(quantities.values)
    assert features.dtype == np.float32
    assert features.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-6)
    assert features.std(axis=0) == pytest.approx(np.ones(3), abs=1e-6)


def test_errors_that_are_not_known_are_the_columns_median_or_none(quantities):
    noise = noise_of(quantities)
    assert np.array_equal(noise, np.tile([60.0, 0.08, 0.0], (50, 1)))


def test_parameters_are_drawn_with_their_own_errors(quantities):
    zero = np.zeros(50)
    errors = InputErrors(zero, zero, zero, noise_of(quantities))
    drawn = [draw(quantities.values, errors, 5, k).flux - quantities.values for k in range(400)]
    # Of 400 x 50 draws the scatter is known to half a per cent; float32 rounds T_eff to 5e-4.
    assert np.std(drawn, axis=(0, 1)) == pytest.approx([60.0, 0.08, 0.0], rel=0.02, abs=1e-6)


@pytest.mark.parametrize(
    ("description", "change", "words"),
    [
        (
            SYNTHETIC,
            "colour_model.kind=ridge",
            r'colour_model\.kind is "ridge".*choose none',
        ),
        (SPECTRA, "colour_model.kind=none", r'"none", which learns nothing.*provides spectra'),
        (APOGEE, "extinction.second_curve={kind: zgr23}", "second_curve is for spectra"),
        (
            APOGEE,
            "absolute={kind: passband, system: AB, err: 0.02 mag, passband: {file: u.csv}}",
            "needs spectra.*tie by standards",
        ),
        (APOGEE, "selection.control=[xp_snr > 20]", '"xp_snr" is provided by none'),
        (SPECTRA, "selection.control=[snr > 20]", '"snr" is provided by none'),
    ],
)
def test_a_block_that_does_not_go_with_it_is_refused(description, change, words):
    with pytest.raises(ConfigError, match=words) as caught:
        scrframe.load_survey(description, overrides=[change])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", [monte_carlo, compare_backends])
def test_what_asks_how_colours_were_learnt_does_not_apply_to_synthetic_ones(what, tmp_path):
    survey = scrframe.load_survey(SYNTHETIC)
    with pytest.raises(ConfigError, match=r"nothing is trained: a .* does not apply"):
        what(survey, data=tmp_path, out=tmp_path / "out")


@pytest.fixture(scope="module")
def apogee(tmp_path_factory):
    """Return a small survey by stellar parameters and its data."""
    changes = ["colour_model.kind=ridge", "report.enabled=false", "offsets.joint.max_rounds=3"]
    survey = scrframe.load_survey(APOGEE, overrides=changes)
    tree = tmp_path_factory.mktemp("apogee") / "tree"
    settings = SimulationSettings(fields=2, density=1500.0, seed=3, other_sources=0.0)
    return survey, scrframe.simulate_survey(survey, tree, settings=settings)


def test_monte_carlo_of_parameters_draws_their_errors(apogee, tmp_path):
    survey, tree = apogee
    done = monte_carlo(
        survey, data=tree, errors="own", realisations=8, out=tmp_path / "mc", workers=1
    )
    found = done.summary["sets"]["own"]
    # 1.2 per cent of T_eff is 60 K, and (u - G_BP)_0 goes with T_eff by 1 to 2 mmag / K: some
    # 0.09 mag. Errors of E (0.014) and of magnitudes (0.003) alone would make 0.02.
    assert 0.04 < found["model_err"]["median_mag"] < 0.2
    assert done.summary["perturbed"] == "teff, logg, feh"
    assert done.summary["notes"] == []
