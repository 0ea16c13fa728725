"""Null tests of a finished run, from its own files."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
from astropy.io import fits

from scrframe.checks.remedies import REMEDIES
from scrframe.checks.run_checks import run_checks
from scrframe.checks.samples import star_sample, visit_sample
from scrframe.config.results import CheckSettings
from scrframe.products.finished_run import open_run


def test_every_test_is_named_once_and_has_a_reason(tiny_run):
    checks = run_checks(open_run(tiny_run.path))
    names = [one.name for one in checks]
    assert len(set(names)) == len(names) == 34
    assert set(names) == set(REMEDIES)
    assert all(one.reason and one.title for one in checks)
    said = {one.verdict for one in checks}
    assert said <= {"passed", "failed", "not testable"}
    json.dumps([one.to_json() for one in checks], allow_nan=False)
    assert all(np.isnan(one.value) or one.detail for one in checks)


def test_limits_of_the_description_count(tiny_run):
    limits = CheckSettings(residual_ccd="1 mag", visit_trend="77 mmag")
    checks = {one.name: one for one in run_checks(open_run(tiny_run.path), limits)}
    assert checks["residual_ccd"].limit == 1.0
    assert checks["visit_time"].limit == 0.077


def test_covariance_of_the_visits_is_that_of_the_solution(tiny_run):
    products = open_run(tiny_run.path)
    data = products.data()
    matrix = products.visit_covariance(data.visit_table)
    assert matrix.shape == (len(data.visits),) * 2
    path = tiny_run.path / "solution" / "visit_covariance.fits"
    if not path.exists():  # mode sequential states errors only
        np.testing.assert_array_equal(matrix, np.diag(data.visit_table.err_mag**2))
        return
    with fits.open(path) as hdus:
        known = [data.visits.index(name) for name in hdus["VISITS"].data["visit"]]
        np.testing.assert_array_equal(matrix[np.ix_(known, known)], hdus[0].data)


def test_mean_metallicity_of_visits_is_that_of_the_extinction_catalogue(tiny_run, tiny_survey):
    products = open_run(tiny_run.path)
    data = products.data()
    feh = {}
    for path in sorted(Path(tiny_survey.data).glob("zgr23/*.h5")):
        with h5py.File(path) as file:
            estimates = np.array(file["stellar_params_est"], dtype=np.float64)
            feh |= dict(zip(file["gdr3_source_id"][:].tolist(), estimates[:, 1], strict=True))
    wanted = np.array([feh[source] for source in data.star("source_id").tolist()])
    matrix = products.visit_covariance(data.visit_table)
    found = visit_sample(data, matrix, star_sample(data, matrix)).quantities["metallicity"]
    for visit in range(len(data.visits)):
        here = wanted[data.visit_code == visit]
        np.testing.assert_allclose(found[visit], np.nanmean(here), rtol=0, atol=1e-6)
    assert np.ptp(found) > 0
    checks = {one.name: one for one in run_checks(products)}
    assert checks["visit_metallicity"].reason != "the run has no such column"
