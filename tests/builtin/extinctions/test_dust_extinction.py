"""Curves of any R_V from dust_extinction."""

import sys

import numpy as np
import pytest

from scrframe.builtin.extinctions.dust_extinction import CURVE
from scrframe.errors import CalibrationError, PluginError
from scrframe.plugin import load_registry
from scrframe.plugin.descriptors import ExtinctionCurve
from scrframe.spectra.curves import cardelli

XP_NM = np.arange(392.0, 993.0, 10.0)


def curve(wavelength_nm, **settings):
    return CURVE.curve(CURVE.config(**settings), np.asarray(wavelength_nm, dtype=float))


@pytest.fixture
def library():
    return pytest.importorskip(
        "dust_extinction", reason="dust_extinction is not installed: scrframe[dust]"
    )


@pytest.mark.parametrize("r_v", [2.2, 3.1, 5.5])
def test_agrees_with_the_published_formula(library, r_v):
    a, b = cardelli(XP_NM)  # Cardelli, Clayton & Mathis (1989), written apart
    found = curve(XP_NM, model="CCM89", r_v=r_v, extinction="A(V)")
    np.testing.assert_allclose(found, a + b / r_v, rtol=1e-9)


@pytest.mark.parametrize("model", ["F19", "G23"])
@pytest.mark.parametrize("r_v", [2.6, 4.0])
def test_a_unit_is_one_magnitude_of_what_it_stands_for(library, model, r_v):
    # A(V) is at 550 nm, within what the definitions of the band differ by.
    in_excess = curve([550.0], model=model, r_v=r_v)[0]
    assert in_excess == pytest.approx(r_v, rel=0.01)
    in_v = curve([550.0], model=model, r_v=r_v, extinction="A(V)", scale=0.9)[0]
    assert in_v * r_v == pytest.approx(0.9 * in_excess)


def test_the_shape_of_the_wavelengths_stays(library):
    assert curve(XP_NM.reshape(1, -1)).shape == (1, len(XP_NM))


@pytest.mark.parametrize(
    ("settings", "wavelength_nm", "said"),
    [
        ({"model": "F99", "r_v": 9.0}, 500.0, "r_v: F99 is known for R_V from 2 to 6, not for 9"),
        ({"model": "CCM89"}, 50.0, "CCM89 goes from 100 to 3333 nm; 50 nm was asked for"),
    ],
)
def test_what_a_curve_does_not_know_is_said(library, settings, wavelength_nm, said):
    with pytest.raises(CalibrationError, match="choose another model") as caught:
        curve([wavelength_nm], **settings)
    assert said in str(caught.value)


def test_a_missing_package_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "dust_extinction", None)
    with pytest.raises(PluginError, match=r"pip install 'scrframe\[dust\]'"):
        curve(XP_NM)


def test_it_is_found_by_its_name():
    assert load_registry().get(ExtinctionCurve, "dust_extinction") is CURVE
