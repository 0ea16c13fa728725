"""The block `absolute`: what it takes, and what it refuses."""

import pytest
from pydantic import ValidationError

from scrframe.config.results import AbsoluteSettings

STANDARDS = {
    "kind": "standards",
    "system": "AB",
    "err": "0.01 mag",
    "standards": {"file": "standards.fits", "columns": {"magnitude": "u", "source_id": "id"}},
}
PASSBAND = {
    "kind": "passband",
    "system": "AB",
    "err": "10 mmag",
    "passband": {"file": "band.dat", "wavelength_unit": "angstrom"},
}
VEGA = {"file": "alpha_lyr_stis_011.fits"}


def changed(settings, **changes):
    return {**settings, **changes}


def columns(**names):
    return changed(STANDARDS, standards={"file": "s.csv", "columns": {"magnitude": "u", **names}})


@pytest.mark.parametrize(
    "given",
    [
        STANDARDS,
        PASSBAND,
        columns(ra="ra", dec="dec", error="u_err", colour="g_r"),
        changed(PASSBAND, system="Vega", passband={**PASSBAND["passband"], "vega": VEGA}),
        # A block of the other kind may stay, so that switching needs no other edit.
        changed(STANDARDS, bright="-2 mag", faint="14 mag", passband=PASSBAND["passband"]),
    ],
)
def test_what_is_right_is_written_as_it_is_read(given):
    settings = AbsoluteSettings.model_validate(given)
    assert settings.err == pytest.approx(0.01)
    assert AbsoluteSettings.model_validate(settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (changed(STANDARDS, kind="passband"), 'needs the block "passband", for this kind'),
        (changed(PASSBAND, system="Vega"), "needs passband.vega for the system Vega"),
        (changed(PASSBAND, bright="18 mag", faint="14 mag"), "limit bright that is not brighter"),
        (changed(PASSBAND, err="1 arcsec"), 'has unit "arcsec"; expected mag'),
        (changed(PASSBAND, err="0 mag"), "greater than 0"),
        (changed(PASSBAND, system="ST"), "'AB' or 'Vega'"),
        (changed(PASSBAND, colour_order=4), "less than or equal to 3"),
        (columns(), "needs either source_id, or ra and dec"),
        (columns(ra="ra"), "needs either source_id, or ra and dec"),
        (columns(ra="ra", source_id="id"), "needs either source_id, or ra and dec"),
        (columns(ra="ra", dec="dec", source_id="id"), "needs either source_id, or ra and dec"),
    ],
)
def test_what_is_wrong_is_said(given, said):
    with pytest.raises(ValidationError, match=said.replace("(", r"\(")):
        AbsoluteSettings.model_validate(given)


def test_the_systematic_error_must_be_stated():
    without = {key: value for key, value in STANDARDS.items() if key != "err"}
    with pytest.raises(ValidationError, match=r"err\s+Field required"):
        AbsoluteSettings.model_validate(without)
