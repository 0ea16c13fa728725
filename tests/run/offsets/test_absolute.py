"""The absolute tie of a run, from files to a shift with its errors."""

import json
import re
import textwrap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml
from astropy import units as u
from astropy.io import fits
from astropy.table import Table

from scrframe.config.results import AbsoluteSettings
from scrframe.errors import CalibrationError, DataError
from scrframe.run.offsets.absolute import absolute_files, absolute_tie, check_passband
from scrframe.spectra.passband import synthetic_magnitudes
from scrframe.tables import FLAG_BITS, Spectra
from scrframe.tables.solution import AbsoluteTie

SHIFT = 0.2
COUNT = 400
GRID = np.arange(392.0, 993.0, 10.0)
BAND = np.array([480.0, 520.0, 600.0, 640.0])
THROUGH = np.array([0.0, 0.9, 0.8, 0.0])


def catalogue(mag, err=0.01, **changes):
    """Return a star catalogue in three cells of the sky; the last of its stars vary."""
    rng = np.random.default_rng(11)
    columns = {
        "source_id": 2**60 + np.arange(COUNT),
        "ra_deg": (359.5 + 0.9 * (np.arange(COUNT) % 3) + rng.uniform(0, 0.1, COUNT)) % 360,
        "dec_deg": rng.uniform(-0.4, -0.1, COUNT),
        "mag_cal": mag + rng.normal(0, err, COUNT),
        "photometric_err": np.full(COUNT, err),
        "offset_err": np.zeros(COUNT),
        "variable": np.arange(COUNT) >= COUNT - 10,
        "one_outlier": np.zeros(COUNT, dtype=bool),
        "colour0": rng.uniform(0.5, 2.0, COUNT),
        "flags": np.zeros(COUNT, dtype=np.int32),
    }
    return pa.table({**columns, **changes})


@pytest.fixture
def magnitudes():
    return np.random.default_rng(12).uniform(14, 19, COUNT)


def standards_of(stars, mag):
    """Return standards in another order, some not in the catalogue; variables are far off."""
    found = Table(
        {
            "id": stars["source_id"].to_numpy(),
            "ra": stars["ra_deg"].to_numpy(),
            "dec": stars["dec_deg"].to_numpy() + 0.3 / 3600,
            "u": mag + SHIFT + np.where(stars["variable"].to_numpy(), 3.0, 0.0),
            "u_err": np.full(COUNT, 0.005),
        }
    )
    found.add_row((5, 200.0, 80.0, 15.0, 0.005))
    return found[::-1]


def settings(**changes):
    block = {"magnitude": "u", "error": "u_err", **changes.pop("columns", {"source_id": "id"})}
    standards = {"file": "standards.ecsv", "columns": block, **changes.pop("standards", {})}
    return AbsoluteSettings.model_validate(
        {"kind": "standards", "system": "AB", "err": "0.02 mag", "standards": standards, **changes}
    )


def passband(system="AB", file="band.dat", **changes):
    block = {"file": file, "wavelength": "col1", "transmission": "col2", "wavelength_unit": "nm"}
    return AbsoluteSettings.model_validate(
        {"kind": "passband", "system": system, "err": "0.02 mag", "passband": {**block, **changes}}
    )


@pytest.mark.parametrize("columns", [{"source_id": "ID"}, {"ra": "ra", "dec": "dec"}])
def test_standards_give_the_shift(columns, magnitudes, tmp_path):
    stars = catalogue(magnitudes)
    standards_of(stars, magnitudes).write(tmp_path / "standards.ecsv")
    found = absolute_tie(settings(columns=columns), tmp_path, stars, None)
    assert abs(found.shift_mag - SHIFT) < 4 * found.err_mag
    # Standards are true here, 5 mmag as their errors claim would make it larger.
    assert found.err_mag == pytest.approx(0.01 / np.sqrt(0.95 * 390), rel=0.2)
    assert (found.count, found.sys_mag, found.system) == (390, 0.02, "AB")
    assert (found.kind, found.source, found.colour) == ("standards", "standards.ecsv", "")


def test_positions_may_be_in_any_unit(magnitudes, tmp_path):
    stars = catalogue(magnitudes)
    written = standards_of(stars, magnitudes)
    written["ra"] = (np.array(written["ra"]) * u.deg).to(u.hourangle)
    written["dec"] = (np.array(written["dec"]) * u.deg).to(u.rad)
    written.write(tmp_path / "standards.ecsv")
    found = absolute_tie(settings(columns={"ra": "ra", "dec": "dec"}), tmp_path, stars, None)
    assert found.count == 390


def test_a_match_by_position_is_the_nearest_within_the_radius(magnitudes, tmp_path):
    stars = catalogue(magnitudes)
    written = standards_of(stars, magnitudes)
    # A second, worse standard near every star, and a radius that leaves none.
    wrong = written.copy()
    wrong["dec"] += 0.4 / 3600
    wrong["u"] += 1
    both = Table(np.concatenate([wrong.as_array(), written.as_array()]))
    both.write(tmp_path / "standards.ecsv")
    by_place = {"columns": {"ra": "ra", "dec": "dec"}}
    found = absolute_tie(settings(**by_place), tmp_path, stars, None)
    assert found.shift_mag == pytest.approx(SHIFT, abs=4 * found.err_mag)
    narrow = settings(**by_place, standards={"match_radius": "0.2 arcsec"})
    with pytest.raises(CalibrationError, match=r"0 stars .* 802 standards .* 0 of them in"):
        absolute_tie(narrow, tmp_path, stars, None)


def test_limits_of_brightness(magnitudes, tmp_path):
    stars = catalogue(magnitudes)
    standards_of(stars, magnitudes).write(tmp_path / "standards.ecsv")
    found = absolute_tie(settings(bright="15 mag", faint="16 mag"), tmp_path, stars, None)
    mag = stars["mag_cal"].to_numpy()[:-10]
    assert found.count == np.sum((mag >= 15) & (mag <= 16))
    with pytest.raises(CalibrationError, match=r"min_stars asks for 10: 401 standards in .*ecsv"):
        absolute_tie(settings(faint="13 mag"), tmp_path, stars, None)


def test_a_colour_term_of_the_catalogues_colour_or_of_the_standards_own(magnitudes, tmp_path):
    stars = catalogue(magnitudes)
    written = standards_of(stars, magnitudes)
    own = np.append(stars["colour0"].to_numpy(), 1.0)[::-1]
    written["u"] += 0.1 * (own - 1.2)
    written["g_r"] = 2 * own
    written.write(tmp_path / "standards.ecsv")
    modelled = absolute_tie(settings(colour_order=1, colour_pivot=1.2), tmp_path, stars, None)
    assert modelled.colour_terms[0] == pytest.approx(0.1, abs=4 * modelled.colour_term_errs[0])
    assert modelled.shift_mag == pytest.approx(SHIFT, abs=4 * modelled.err_mag)
    assert (modelled.colour, modelled.pivot_mag) == ("colour0", 1.2)
    block = settings(colour_order=1, columns={"source_id": "id", "colour": "g_r"})
    observed = absolute_tie(block, tmp_path, stars, None)
    assert observed.colour_terms[0] == pytest.approx(modelled.colour_terms[0] / 2, rel=1e-6)
    assert observed.colour == "g_r"


def test_errors_of_corrections_are_shared_within_a_degree(magnitudes, tmp_path):
    stars = catalogue(magnitudes, offset_err=np.full(COUNT, 0.03))
    standards_of(stars, magnitudes).write(tmp_path / "standards.ecsv")
    found = absolute_tie(settings(), tmp_path, stars, None)
    # Three cells of about as many stars.
    assert found.err_mag == pytest.approx(0.03 / np.sqrt(3), rel=0.02)


def test_stars_that_vary_by_catalogued_errors_alone_are_kept(magnitudes, tmp_path):
    stars = catalogue(magnitudes, offset_err=np.full(COUNT, np.nan))
    standards_of(stars, magnitudes).write(tmp_path / "standards.ecsv")
    found = absolute_tie(settings(), tmp_path, stars, None)
    # The ten that are 3 mag off count for nothing all the same.
    assert found.count == COUNT and found.outliers >= 10
    assert abs(found.shift_mag - SHIFT) < 4 * found.err_mag


def spectra(rng):
    """Return spectra of one shape and their AB magnitudes through the band."""
    flux = (1 + 0.3 * np.sin(GRID / 90))[None] * 10 ** (-0.4 * rng.uniform(14, 19, COUNT)[:, None])
    mag = synthetic_magnitudes(flux * 1e-11, GRID, BAND, THROUGH, "AB")
    return flux.astype(np.float32) * np.float32(1e-11), mag


@pytest.fixture
def synthetic(tmp_path):
    """Return observed spectra in another order than the stars, and the star catalogue."""
    np.savetxt(tmp_path / "band.dat", np.stack([BAND, THROUGH], axis=1))
    flux, mag = spectra(np.random.default_rng(13))
    stars = catalogue(mag - SHIFT)
    order = np.random.default_rng(14).permutation(COUNT)
    observed = Spectra(
        stars["source_id"].to_numpy()[order],
        GRID,
        flux[order],
        np.full(COUNT, 200.0),
        np.zeros(COUNT, dtype=np.uint8),
    )
    return stars, observed


def test_synthetic_photometry_gives_the_shift(synthetic, tmp_path):
    stars, observed = synthetic
    found = absolute_tie(passband(), tmp_path, stars, observed)
    assert abs(found.shift_mag - SHIFT) < 4 * found.err_mag
    assert (found.count, found.kind, found.source) == (390, "passband", "band.dat")


def test_wavelengths_in_the_unit_that_the_file_declares(synthetic, tmp_path):
    stars, observed = synthetic
    nm = absolute_tie(passband(), tmp_path, stars, observed)
    Table({"col1": BAND * 10 * u.AA, "col2": THROUGH}).write(tmp_path / "band.fits")
    angstrom = passband(file="band.fits", wavelength_unit=None)
    found = absolute_tie(angstrom, tmp_path, stars, observed)
    assert found.shift_mag == pytest.approx(nm.shift_mag, abs=1e-9)
    with pytest.raises(DataError, match=r'col1 has unit "Angstrom", but the description says nm'):
        absolute_tie(passband(file="band.fits"), tmp_path, stars, observed)


def test_vega_from_a_file_as_calspec_writes_it(synthetic, tmp_path):
    stars, observed = synthetic
    ab = absolute_tie(passband(), tmp_path, stars, observed)
    # A spectrum of Vega of AB magnitude 0.5 at all wavelengths, in CALSPEC's units.
    wavelength = np.arange(3000.0, 10000.0, 1.0)
    density = 10 ** (-0.4 * 0.5) * 3631 * u.Jy
    flux = density.to(u.erg / u.s / u.cm**2 / u.AA, u.spectral_density(wavelength * u.AA)).value
    columns = [
        fits.Column("WAVELENGTH", "D", unit="ANGSTROMS", array=wavelength),
        fits.Column("FLUX", "E", unit="FLAM", array=flux),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "vega.fits")
    found = absolute_tie(
        passband("Vega", vega={"file": "vega.fits", "magnitude": 0.03}), tmp_path, stars, observed
    )
    # Single precision of the flux: 6e-8.
    assert found.shift_mag == pytest.approx(ab.shift_mag - 0.5 + 0.03, abs=1e-6)
    assert found.system == "Vega"


def test_stars_outside_the_flux_correction_do_not_count(synthetic, tmp_path):
    stars, observed = synthetic
    flags = np.where(np.arange(COUNT) < 100, FLAG_BITS["outside_flux_correction"], 0)
    index = stars.column_names.index("flags")
    stars = stars.set_column(index, "flags", pa.array(flags.astype(np.int32)))
    assert absolute_tie(passband(), tmp_path, stars, observed).count == 290


def test_a_passband_beyond_the_spectra_is_refused_before_and_after(synthetic, tmp_path):
    stars, observed = synthetic
    (tmp_path / "u.dat").write_text("330 0\n350 1\n380 0\n")
    said = r"absolute: u.dat: 0.0 per cent of the passband's area"
    with pytest.raises(CalibrationError, match=said):
        check_passband(passband(file="u.dat"), tmp_path, GRID)
    with pytest.raises(CalibrationError, match=said):
        absolute_tie(passband(file="u.dat"), tmp_path, stars, observed)
    check_passband(passband(), tmp_path, GRID)
    check_passband(settings(), tmp_path, GRID)


def test_synthetic_photometry_needs_spectra(synthetic, tmp_path):
    with pytest.raises(CalibrationError, match="needs spectra, and the reference catalogue has"):
        absolute_tie(passband(), tmp_path, synthetic[0], None)


def test_files_are_named_for_the_record(synthetic, tmp_path):
    standards_of(synthetic[0], np.zeros(COUNT)).write(tmp_path / "standards.ecsv")
    assert absolute_files(settings(), tmp_path) == (tmp_path / "standards.ecsv",)
    assert absolute_files(passband(), tmp_path) == (tmp_path / "band.dat",)
    Table({"WAVELENGTH": [400.0, 700.0], "FLUX": [1.0, 1.0]}).write(tmp_path / "vega.ecsv")
    units = {"wavelength_unit": "nm", "flux_unit": "W / (m2 nm)"}
    vega = passband("Vega", vega={"file": str(tmp_path / "vega.ecsv"), **units})
    assert absolute_files(vega, tmp_path) == (tmp_path / "band.dat", tmp_path / "vega.ecsv")


BROKEN = {
    "id,u,u_err\n1,15,0.1\n1,16,0.1\n": "column id names a star twice",
    "id,u,u_err\n1,15,-0.1\n": "column u_err holds negative errors",
    "id,u,u_err\n1.5,15,0.1\n": 'row 0: column id is "1.5", expected a whole number',
    "id,u,u_err\n1,bright,0.1\n": 'row 0: column u is "bright", expected a number',
    "id,u\n1,15\n": "has no column u_err; there are: id, u",
}


@pytest.mark.parametrize("text", BROKEN)
def test_broken_standards_are_said_in_one_line(text, tmp_path):
    (tmp_path / "standards.ecsv").write_text(text)
    with pytest.raises(DataError) as caught:
        absolute_files(settings(), tmp_path)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "standards.ecsv")) and "\n" not in message
    assert BROKEN[text] in message


BROKEN_BANDS = {
    "500 0.1\n500 0.2\n": "must hold two or more different, positive wavelengths",
    "500 0.1\n": "must hold two or more different, positive wavelengths",
    "500 0.1\n600 -0.1\n": "row 1: column col2 is negative; transmissions are 0 or more",
    "500 0\n600 0\n": "column col2 is 0 throughout",
    "500 nan\n600 1\n": "row 0: column col2 has no value",
}


@pytest.mark.parametrize("text", BROKEN_BANDS)
def test_broken_passbands_are_said_in_one_line(text, tmp_path):
    (tmp_path / "band.dat").write_text(text)
    with pytest.raises(DataError) as caught:
        absolute_files(passband(), tmp_path)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "band.dat")) and "\n" not in message
    assert BROKEN_BANDS[text] in message


def test_a_unit_must_be_known(tmp_path):
    (tmp_path / "band.dat").write_text("500 0.1\n600 0.9\n")
    with pytest.raises(DataError, match="column col1 declares no unit; give it in the description"):
        absolute_files(passband(wavelength_unit=None), tmp_path)
    Table({"col1": BAND * u.mag, "col2": THROUGH}).write(tmp_path / "band.ecsv")
    with pytest.raises(DataError, match='column col1 has unit "mag"; expected nm'):
        absolute_files(passband(file="band.ecsv", wavelength_unit=None), tmp_path)


def test_a_tie_is_written_as_plain_json_with_all_it_holds():
    made = AbsoluteTie(
        0.1,
        0.01,
        0.02,
        0.03,
        50,
        2,
        "Vega",
        "standards",
        "s.csv",
        (0.1, -0.2),
        (0.01, 0.02),
        "colour0",
        1.2,
    )
    again = json.loads(json.dumps(made.to_json(), allow_nan=False))
    lists = {"colour_terms": [0.1, -0.2], "colour_term_errs": [0.01, 0.02]}
    assert again == {**vars(made), **lists}
    assert made.metadata()["magnitude_system"] == "Vega"
    assert all(isinstance(value, str) for value in made.metadata().values())


def test_the_examples_of_the_page_are_valid():
    page = Path(__file__).parents[3] / "docs" / "how-to" / "absolute.md"
    texts = re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    blocks = [textwrap.dedent(text) for text in texts]
    whole = [yaml.safe_load(text)["absolute"] for text in blocks if text.startswith("absolute")]
    parts = [yaml.safe_load(text) for text in blocks if not text.startswith("absolute")]
    assert len(whole) == len(parts) == 2
    for block, part in zip(whole, parts, strict=True):
        AbsoluteSettings.model_validate(block)
        AbsoluteSettings.model_validate({**block, **part})
