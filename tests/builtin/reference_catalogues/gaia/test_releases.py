"""A release is a preset and an operator file away."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

from scrframe.builtin.reference_catalogues.gaia.plugin import GAIA_XP
from scrframe.errors import DataError
from scrframe.spectra import load_operator, packed_indices, read_operator
from scrframe.spectra.xp_operator import XpOperator


def write_operator(path, release: str = "DR4", bases: int = 55, **changes) -> None:
    shipped = load_operator("sampled")
    mixed = np.eye(bases, 55)  # more bases than there were add nothing, fewer leave some out
    content = {
        "wavelength_nm": shipped.wavelength_nm,
        "bp": mixed @ shipped.bp,
        "rp": mixed @ shipped.rp,
        "provenance": json.dumps({"release": release}),
        **changes,
    }
    np.savez(path, **content)


def test_the_name_is_taken_in_either_case():
    assert GAIA_XP.config(release="DR3").release == GAIA_XP.config(release="dr3").release == "dr3"
    with pytest.raises(ValidationError, match="'dr3' or 'dr4'"):
        GAIA_XP.config(release="dr5")


def test_an_operator_of_the_users(tree, read_sources, read_features):
    """The shipped operator, as a file of another release, gives the shipped fluxes."""
    write_operator(tree / "operator.npz")
    stars = read_sources(tree)
    grid = {"start": "400 nm", "stop": "900 nm"}  # which is taken from the samples
    (ours,) = read_features(tree, stars, release="dr4", operator="operator.npz", grid=grid)
    (theirs,) = read_features(tree, stars, grid=grid)
    assert len(ours.source_id) and np.array_equal(ours.source_id, theirs.source_id)
    assert np.array_equal(ours.flux, theirs.flux) and np.array_equal(ours.snr, theirs.snr)


@pytest.mark.parametrize("bases", [40, 70])
def test_operators_of_other_numbers_of_coefficients(bases):
    """Flux is linear, and its errors those of drawn coefficients."""
    rng = np.random.default_rng(bases)
    bp, rp = rng.normal(size=(2, bases, 12))
    operator = XpOperator(np.arange(12.0), bp, rp)
    coefficients = rng.normal(size=(2, 5, bases))
    flux = operator.flux(*coefficients)
    np.testing.assert_allclose(flux, coefficients[0] @ bp + coefficients[1] @ rp, rtol=1e-12)
    root = rng.normal(size=(bases, 3))
    covariance = root @ root.T + np.eye(bases)
    error = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(error, error)
    packed = correlation[packed_indices(bases)][None]
    found = operator.flux_error_exact(error[None], packed, error[None], packed)
    expected = np.sqrt(np.diag(bp.T @ covariance @ bp) + np.diag(rp.T @ covariance @ rp))
    np.testing.assert_allclose(found[0], expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"release": "DR3"}, "is the operator of dr3, not of dr4"),
        ({"wavelength_nm": np.arange(343.0)}, r"wavelength_nm is not 336, 338, \.\.\. 1020 nm"),
        ({"rp": np.zeros((50, 343))}, r"bp has shape \(55, 343\) and rp \(50, 343\)"),
        ({"provenance": "none"}, "is no operator file"),
    ],
)
def test_operators_that_cannot_be_meant(tree, read_sources, read_features, changes, words):
    write_operator(tree / "operator.npz", **changes)
    stars = read_sources(tree)
    read_operator.cache_clear()
    with pytest.raises(DataError, match=words):
        read_features(tree, stars, release="dr4", operator="operator.npz")


def test_an_operator_that_is_not_there(tree, read_sources, read_features):
    stars = read_sources(tree)
    with pytest.raises(DataError, match=r"nowhere\.npz: is no operator file"):
        read_features(tree, stars, release="dr4", operator="nowhere.npz")
