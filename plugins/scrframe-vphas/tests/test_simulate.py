"""Simulated catalogues: the real layout, and magnitudes that come back."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from scrframe_vphas.layout import COLUMN_NAMES
from scrframe_vphas.simulate import write_simulated

from scrframe.tables import Detections, SimulatedVisit

KEYWORDS = (
    "MAGZPT MAGZRR EXTINCT APCOR1 APCOR2 APCOR3 APCOR4 APCOR5 APCOR6 APCOR7 APCORPK APASSZPT"
    " APASSZRR APASSNUM NIGHTZPT SEEING ELLIPTIC SKYLEVEL SATURATE NEBULISD CROWDED CAMNUM"
)
PRIMARY = (
    "OBJECT|DATE-OBS|MJD-OBS|EXPTIME|ESO INS FILT1 NAME|ESO OBS NAME|ESO OBS ID|ESO TPL EXPNO"
    "|ESO TPL NEXP|ESO TEL AIRM START|ESO TEL AIRM END"
)


@pytest.fixture
def visit(make_visit: Callable[..., SimulatedVisit]) -> SimulatedVisit:
    return make_visit()


@pytest.fixture
def catalogue(tmp_path: Path, visit: SimulatedVisit) -> Path:
    """Return the file of a visit of all 32 CCDs."""
    return write_simulated(visit, tmp_path)


def test_columns_stand_where_casu_has_them() -> None:
    numbers = {
        "Sequence_number": 1,
        "Isophotal_flux": 2,
        "X_coordinate": 3,
        "Y_coordinate": 5,
        "Gaussian_sigma": 7,
        "Ellipticity": 8,
        "Position_angle": 9,
        "Areal_1_profile": 10,
        "Areal_8_profile": 17,
        "Peak_height": 18,
        "Aper_flux_1": 20,
        "Aper_flux_3": 24,
        "Aper_flux_3_err": 25,
        "Aper_flux_13_err": 45,
        "Petr_radius": 46,
        "Half_radius": 48,
        "Petr_flux": 49,
        "Half_flux_err": 54,
        "Error_bit_flag": 55,
        "Sky_level": 56,
        "Sky_rms": 57,
        "Av_conf": 58,
        "RA": 59,
        "DEC": 60,
        "Classification": 61,
        "Statistic": 62,
        "Blank63": 63,
        "Blank80": 80,
    }
    assert {name: COLUMN_NAMES.index(name) + 1 for name in numbers} == numbers
    assert len(set(COLUMN_NAMES)) == 80


def test_file_is_strict_fits_of_the_real_layout(catalogue: Path) -> None:
    assert catalogue.name == "o20111229_00127_fix_cat.fits"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(catalogue) as hdus:
            hdus.verify("exception")
            assert len(hdus) == 33
            for keyword in PRIMARY.split("|"):
                assert keyword in hdus[0].header
            assert hdus[0].header["DATE-OBS"] == "2011-12-30T02:57:46.658"
            for number, table in enumerate(hdus[1:], start=1):
                assert table.header["CAMNUM"] == number
                assert table.header["EXTNAME"] == f"ESO_CCD_#{64 + number}"
                assert tuple(table.columns.names) == COLUMN_NAMES
                assert {form.lstrip("1") for form in table.columns.formats} == {"E"}
                assert table.columns["RA"].unit == "RADIANS"
                assert all(keyword in table.header for keyword in KEYWORDS.split())
                sequence = table.data["Sequence_number"]
                np.testing.assert_array_equal(sequence, np.arange(1, len(sequence) + 1))
                assert np.isfinite(np.asarray(table.data.view(np.ndarray).tolist())).all()


@pytest.mark.parametrize("aperture", [1, 3, 7])
def test_magnitudes_come_back(
    catalogue: Path,
    visit: SimulatedVisit,
    read_all: Callable[..., Detections],
    aperture: int,
) -> None:
    detections = read_all(aperture=aperture, ccds=32)
    truth = {name: np.asarray(visit.detections[name]) for name in visit.detections.column_names}
    # float32 holds fluxes to 6e-8; errors of aperture 3 are the catalogued ones.
    np.testing.assert_allclose(detections["mag"], truth["mag"], rtol=0, atol=1.5e-7)
    if aperture == 3:
        known = np.isfinite(truth["mag"])
        np.testing.assert_allclose(
            detections["mag_err"][known], truth["mag_err"][known], rtol=0, atol=1.5e-7
        )
    np.testing.assert_array_equal(detections["ccd"], truth["ccd"])
    np.testing.assert_array_equal(detections["classification"], truth["classification"])
    # Radians in float32: 0.1 arcsec between 1 and 2 rad, half of it by rounding.
    np.testing.assert_allclose(detections["ra"], truth["ra"], rtol=0, atol=0.5 * 1.2e-7 * 57.3)
    np.testing.assert_allclose(detections["x"], truth["x"], rtol=6e-8)
    assert set(detections["airmass"]) == {1.2}
    np.testing.assert_allclose(detections["seeing"], 0.9, rtol=1e-12)


def test_ccd_without_detections_is_written(
    tmp_path: Path, visit: SimulatedVisit, read_all: Callable[..., Detections]
) -> None:
    few = visit.detections.filter(np.asarray(visit.detections["ccd"]) != 13)
    write_simulated(SimulatedVisit(**{**vars(visit), "detections": few}), tmp_path)
    detections = read_all(ccds=32)
    assert len(detections) == few.num_rows
    assert 13 not in detections["ccd"]


def test_unsorted_detections_are_refused(tmp_path: Path, visit: SimulatedVisit) -> None:
    turned = visit.detections.take(np.arange(visit.detections.num_rows)[::-1])
    with pytest.raises(ValueError, match="sorted by ccd"):
        write_simulated(SimulatedVisit(**{**vars(visit), "detections": turned}), tmp_path)
