"""Monte Carlo of model magnitudes: propagated errors, no errors, going on, products."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

import scrframe
from scrframe.analysis.montecarlo.products import saved_figure
from scrframe.analysis.montecarlo.realisations import InputErrors
from scrframe.analysis.montecarlo.run import PerturbedMagnitudes, monte_carlo
from scrframe.errors import ConfigError, DataError
from scrframe.observer import Observer
from scrframe.run.place import Place
from scrframe.scr.features import intrinsic_features
from scrframe.scr.training import TrainingPlan, TrendSettings
from scrframe.tables import ReddeningLaw, Spectra

STARS, WAVELENGTHS, DRAWS = 40, 6, 400
#: Five standard errors of a standard deviation from that many draws.
TOLERANCE = 5 / np.sqrt(2 * (DRAWS - 1))


class Plane:
    """Least squares: predictions are linear in features and in training colours."""

    def __init__(self, features, colour):
        self.solution = np.linalg.lstsq(np.asarray(features, dtype=float), colour)[0]

    def predict(self, features):
        return SimpleNamespace(colour_mag=np.asarray(features, dtype=float) @ self.solution)


def fit_plane(features, colour, weights, config, seed, threads):
    return Plane(features, colour)


@pytest.fixture
def linear(monkeypatch):
    """Return what makes `PerturbedMagnitudes` of a linear model without trend or cross-fitting."""
    monkeypatch.setattr(
        "scrframe.analysis.montecarlo.run.trend_settings",
        lambda chosen: TrendSettings("none"),
    )
    random = np.random.default_rng(1)
    flux = random.uniform(1, 2, (STARS, WAVELENGTHS))
    extinction = random.uniform(0.1, 0.6, STARS)
    k_mag, law = np.linspace(1.2, 0.6, WAVELENGTHS), ReddeningLaw(np.array([1.4]), np.eye(1), 0.0)
    features = intrinsic_features(flux, k_mag, extinction, "none")
    stars = {
        "reference_mag": random.uniform(14, 18, STARS),
        "extinction": extinction,
        "source_id": np.arange(STARS),
    }
    label = np.full(STARS, np.nan)
    label[:30] = random.normal(1.0, 0.3, 30)
    fitted = SimpleNamespace(
        plan=TrainingPlan(np.arange(30), np.arange(0), np.zeros(30, dtype=int), False),
        model=SimpleNamespace(law=law, label_mag=label),
        settings=object(),
    )
    survey = SimpleNamespace(
        colour_model=SimpleNamespace(standardise="none", seed=1),
        extinction=SimpleNamespace(curve=SimpleNamespace(settings=None)),
    )
    stage = SimpleNamespace(
        plugins=SimpleNamespace(
            survey=survey,
            backend=SimpleNamespace(name="plane", fit=fit_plane),
            curve=SimpleNamespace(curve=lambda settings, grid: k_mag),
        ),
        workers=1,
    )
    sample = SimpleNamespace(stars=stars, features=features)
    grid, snr = np.arange(WAVELENGTHS, dtype=float), np.ones(STARS)
    spectra = Spectra(np.arange(STARS), grid, flux, snr, np.zeros(STARS, dtype=np.uint8))

    def make(retrain):
        return PerturbedMagnitudes(
            stage, sample, fitted, spectra, retrain=retrain
        ), SimpleNamespace(
            flux=flux, k=k_mag, e=extinction, label=label, features=features.astype(float)
        )

    return make


def scatter(predicted, **sizes):
    names = ("label_mag", "reference_mag", "extinction", "noise")
    errors = InputErrors(*(np.full(STARS, sizes.get(name, 0.0)) for name in names))
    return np.std([predicted.change(errors, 7, number) for number in range(DRAWS)], axis=0, ddof=1)


def test_scatter_of_a_linear_model_is_the_propagated_error(linear):
    predicted, truth = linear(retrain=False)
    sigma_g, sigma_e, noise = 0.004, 0.005, 0.003
    slope = np.linalg.lstsq(truth.features[:30], truth.label[:30])[0]
    f0 = truth.flux * 10 ** (0.4 * truth.k * truth.e[:, None])
    mean = f0.mean(axis=1, keepdims=True)
    # Of a feature f0_i / mean(f0), by the quotient rule.
    by_flux = slope / mean - (f0 @ slope)[:, None] / (WAVELENGTHS * mean**2)
    relative = by_flux * f0
    by_extinction = 0.4 * np.log(10) * (relative @ truth.k) + 1.4
    expected = np.sqrt(
        sigma_g**2 + (sigma_e * by_extinction) ** 2 + noise**2 * np.sum(relative**2, axis=1)
    )
    found = scatter(predicted, reference_mag=sigma_g, extinction=sigma_e, noise=noise)
    assert np.max(np.abs(found / expected - 1)) < TOLERANCE


def test_errors_of_observed_magnitudes_act_through_training(linear):
    predicted, truth = linear(retrain=True)
    hat = truth.features @ np.linalg.pinv(truth.features[:30])
    expected = 0.02 * np.linalg.norm(hat, axis=1)
    assert np.max(np.abs(scatter(predicted, label_mag=0.02) / expected - 1)) < TOLERANCE


def test_a_model_trained_once_knows_nothing_of_errors_of_observed_magnitudes(linear):
    predicted, _ = linear(retrain=False)
    assert not scatter(predicted, label_mag=0.02).any()


@pytest.mark.parametrize("retrain", [False, True])
def test_no_errors_change_nothing(linear, retrain):
    assert not scatter(linear(retrain)[0]).any()


NONE = ("mag=0 mag", "reference_mag=0 mag", "extinction=0 mag", "snr=1e30")


def described(tiny_survey, *changes):
    kind = ("colour_model.kind=ridge", "offsets.mode=sequential", "colour_model.trend=none")
    return scrframe.load_survey(
        tiny_survey.description, overrides=(*tiny_survey.changes, *kind, *changes)
    )


def run(tiny_survey, out, survey=None, **options):
    options = {"errors": "median", "realisations": 2, "workers": 1} | options
    survey = survey or described(tiny_survey)
    return monte_carlo(survey, data=tiny_survey.data, out=out, **options)


def test_products(tiny_survey, tmp_path):
    survey = described(tiny_survey, *(f"montecarlo.high.{each}" for each in NONE))
    found = run(tiny_survey, tmp_path / "mc", survey, errors="all", seed=5)
    table = pq.read_table(found.path / "montecarlo.parquet")
    assert table.column_names == [
        "source_id",
        "mag_model",
        "model_err_median",
        "model_err_high",
        "model_err_own",
    ]
    assert table.schema.field("model_err_own").metadata == {b"unit": b"mag"}
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    assert np.all(np.diff(columns["source_id"]) > 0)
    assert not columns["model_err_high"].any()
    # Errors of G_BP alone give 3 mmag, and of E and the spectrum more.
    assert np.median(columns["model_err_median"]) > 0.003
    plain = json.loads((found.path / "montecarlo.json").read_text(encoding="utf-8"))
    assert plain["sets"]["median"]["model_err"]["median_mag"] == np.median(
        columns["model_err_median"]
    )
    assert plain["sets"]["high"]["difference"]["gaussian_sigma_mag"] == 0
    assert (plain["seed"], plain["realisations"], plain["retrained"]) == (5, 2, True)
    assert plain["data_note"].startswith("simulated")
    assert "Error of model magnitudes" in (found.path / "index.html").read_text(encoding="utf-8")
    assert {path.name for path in (found.path / "figures").iterdir()} == {
        "montecarlo.png",
        "montecarlo.pdf",
        "montecarlo.ecsv",
    }
    shown = saved_figure(found.path)
    beyond = sum(each["beyond"] for each in shown.data.meta["fits"].values())
    assert np.sum(shown.data["count"]) + beyond == 3 * 2 * table.num_rows


class Stopping(Observer):
    """Interrupts after the first realisation."""

    def step(self, title, total=None):
        inner = super().step(title, total)
        if title != "Realisations":
            return inner
        return _Interrupting()


class _Interrupting:
    def __enter__(self):
        return self._stop

    def __exit__(self, *error):
        return None

    def _stop(self, done):
        raise KeyboardInterrupt


@pytest.mark.slow
def test_an_interrupted_one_goes_on_and_ends_with_the_same_bits(tiny_survey, tmp_path, monkeypatch):
    out = tmp_path / "mc"
    with pytest.raises(KeyboardInterrupt):
        run(tiny_survey, out, observer=Stopping())
    assert not out.exists()
    assert len(list(Place.of(out).root.glob("work/realisations/*.arrow"))) == 1
    drawn, change = [], PerturbedMagnitudes.change

    def counted(self, errors, seed, number):
        drawn.append(number)
        return change(self, errors, seed, number)

    monkeypatch.setattr(PerturbedMagnitudes, "change", counted)
    again = run(tiny_survey, out)
    assert drawn == [1]
    assert not Place.of(out).root.exists()
    whole = run(tiny_survey, tmp_path / "whole")
    for name in ("montecarlo.parquet", "montecarlo.json"):
        assert (again.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_a_failure_leaves_nothing(tiny_survey, tmp_path, monkeypatch):
    def fail(self, errors, seed, number):
        raise DataError("cannot be drawn")

    monkeypatch.setattr(PerturbedMagnitudes, "change", fail)
    with pytest.raises(DataError, match=r"cannot be drawn \(in the step: realisations, median"):
        run(tiny_survey, tmp_path / "mc")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"errors": "hihg"}, 'no set of errors "hihg"; choose median, high, own or all'),
        ({"realisations": 1}, "2 realisations or more"),
        ({"seed": -1}, "a seed of 0 or more"),
    ],
)
def test_wrong_wishes_are_refused(tiny_survey, tmp_path, options, said):
    with pytest.raises(ConfigError, match=said):
        run(tiny_survey, tmp_path / "mc", **options)
    assert list(tmp_path.iterdir()) == []
