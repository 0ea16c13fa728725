"""Files for images: FITS star flats, headers that SCAMP and SWarp know, tables of zero points."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import parse
from astropy.table import Table
from astropy.wcs import WCS
from outside_tools import said_by_astropy, said_by_fitsverify, said_by_stilts, tables_below

import scrframe
from scrframe.cli import main
from scrframe.errors import ConfigError
from scrframe.export.write import file_names


@pytest.fixture(scope="module")
def run(small_run):
    return scrframe.open_run(small_run)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """Return the folder of what one command writes."""
    out = tmp_path_factory.mktemp("out")
    options = ["--star-flats", out / "flats", "--headers", out / "heads", "--kind", "mag"]
    options += ["--zero-points", out / "zero.ecsv", "--binning", 20, "--image-zero-point", 25]
    assert main(["export", str(run.path), *map(str, options)]) == 0
    return out


def test_star_flats_by_season_and_by_visit(run, exported):
    seasons = sorted(set(run.visits["season"].tolist()))
    names = {path.name for path in (exported / "flats").glob("*.fits")}
    assert names == {f"star_flat_{season}.fits" for season in seasons}
    visits = sorted(path.stem for path in (exported / "flats" / "visits").iterdir())
    assert visits == sorted(run.visits["visit"].tolist())  # each has a surface
    with fits.open(exported / "flats" / f"star_flat_{seasons[0]}.fits") as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus[1:]] == [
            f"CCD0{ccd}{what}" for ccd in (1, 2) for what in ("", "_ERR", "_COUNT")
        ]
        flat = run.star_flat(2, season=seasons[0], binning=20)
        np.testing.assert_allclose(hdus["CCD02"].data, flat.mag, atol=1e-7)
        np.testing.assert_allclose(hdus["CCD02_ERR"].data, flat.err_mag, rtol=1e-6)
        assert np.array_equal(hdus["CCD02_COUNT"].data, flat.count)
        header = hdus["CCD02"].header
        assert (header["BUNIT"], header["CCDNUM"], header["SEASON"]) == ("mag", 2, seasons[0])
        assert "not in it: surface" in str(hdus[0].header["HISTORY"])
        assert hdus[0].header["SCRNOTE"] == run.note
        # The middle of the first square, pixels 1 to 20, is image pixel 1.
        assert header["LTM1_1"] * 10.5 + header["LTV1"] == pytest.approx(1)
    with fits.open(exported / "flats" / "visits" / f"{visits[0]}.fits") as hdus:
        flat = run.star_flat(1, visit=visits[0], binning=20)
        np.testing.assert_allclose(hdus["CCD01"].data, flat.mag, atol=1e-7)
        assert hdus["CCD01"].header["VISIT"] == visits[0]


def blocks(path) -> list[fits.Header]:
    """Return the headers of a .head file, as any reader of cards has them."""
    text = path.read_text("ascii")
    parts = re.split(r"^END\s*$\n?", text, flags=re.MULTILINE)
    assert parts[-1] == "" and all(len(line) <= 80 for line in text.splitlines())
    return [fits.Header.fromstring(part, sep="\n") for part in parts[:-1]]


def test_headers_hold_the_zero_points(run, exported):
    zero = {(row["visit"], row["ccd"]): row for row in run.zero_points()}
    table = Table.read(exported / "heads" / "headers.ecsv")
    assert len(table) == len(zero) and table["MAGZP"].unit == "mag"
    for row in table:
        header = blocks(exported / "heads" / row["file"])[row["extension"] - 1]
        known = zero[row["visit"], row["ccd"]]
        assert header["MAGZP"] == row["MAGZP"] == pytest.approx(25 + known["zero_point"])
        assert header["MAGZPERR"] == row["MAGZPERR"] == pytest.approx(known["zero_point_err"])
        assert header["FLXSCALE"] == pytest.approx(10 ** (-0.4 * known["zero_point"]))
        assert header["PHOTLEV"] == known["level"]
    assert table.meta["image_zero_point"] == 25


@pytest.mark.parametrize("ending", ["ecsv", "fits", "csv", "vot", "parquet"])
def test_zero_points_in_any_format(run, tmp_path, ending):
    path = run.export(zero_points=tmp_path / f"zero.{ending}").zero_points
    formats = {"ecsv": "ascii.ecsv", "csv": "ascii.csv", "vot": "votable"}
    table = Table.read(path, format=formats.get(ending, ending))
    mag, flux = run.zero_points("mag"), run.zero_points("flux")
    np.testing.assert_allclose(table["zero_point"], mag["zero_point"], rtol=1e-12)
    np.testing.assert_allclose(table["flux_scale"], flux["flux_scale"], rtol=1e-12)
    assert table["level"].astype(str).tolist() == mag["level"].tolist()
    assert ending == "csv" or table["zero_point"].unit == "mag"


def test_what_cannot_be_written_is_said(run, tmp_path, capsys):
    with pytest.raises(ConfigError, match="nothing to export"):
        run.export()
    with pytest.raises(ConfigError, match=r"must end in \.ecsv"):
        run.export(zero_points=tmp_path / "zero.xlsx")
    with pytest.raises(ConfigError, match="expected mag or factor"):
        run.export(star_flats=tmp_path / "flats", kind="sum")
    (tmp_path / "file").touch()
    assert main(["export", str(run.path), "--headers", str(tmp_path / "file")]) == 2
    assert "cannot write there" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_keys_of_visits_become_names_of_files():
    assert file_names(["a/b", "a b", ".c", "d"]) == ["a_b", "a_b_2", "c", "d"]


@pytest.mark.skipif(shutil.which("SWarp") is None, reason="SWarp is not installed")
def test_swarp_scales_images_by_the_headers(run, exported, tmp_path):
    """Two extensions of ones, side by side, come out as the FLXSCALE of each block."""
    visit, step = str(run.visits["visit"][0]), 1e-4
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for number in (1, 2):
        image = fits.ImageHDU(np.ones((60, 60), dtype=np.float32))
        image.header.update(tangent(150 + 100 * step * number, step).to_header())
        hdus.append(image)
    hdus.writeto(tmp_path / "image.fits")
    shutil.copy(exported / "heads" / f"{visit}.head", tmp_path / "image.head")
    options = {"SUBTRACT_BACK": "N", "RESAMPLING_TYPE": "NEAREST", "COMBINE_TYPE": "AVERAGE"}
    command = ["SWarp", "image.fits", "-WRITE_XML", "N", "-VERBOSE_TYPE", "QUIET"]
    command += [word for key, value in options.items() for word in (f"-{key}", value)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with fits.open(tmp_path / "coadd.fits") as coadd:
        wcs = WCS(coadd[0].header)
        for number, header in enumerate(blocks(tmp_path / "image.head"), start=1):
            x, y = wcs.all_world2pix(150 + 100 * step * number, 0.0, 0)
            found = coadd[0].data[round(float(y)), round(float(x))]
            assert found == pytest.approx(header["FLXSCALE"], rel=1e-6)


def tangent(ra_deg: float, step_deg: float) -> WCS:
    """Return a tangent projection about a place on the equator."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cunit = ["RA---TAN", "DEC--TAN"], ["deg", "deg"]
    wcs.wcs.crval, wcs.wcs.crpix = [ra_deg, 0.0], [30.5, 30.5]
    wcs.wcs.cd = [[-step_deg, 0], [0, step_deg]]
    return wcs


def test_outside_tools_find_nothing_wrong(run, exported, small_run, tmp_path):
    run.export(zero_points=tmp_path / "zero.vot")
    run.export(zero_points=tmp_path / "zero.parquet")
    assert said_by_astropy(tables_below(exported, small_run, tmp_path)) == set()
    # The keys of visits have one letter, whose fixed length VOTable does not like.
    visits = parse(tmp_path / "zero.vot").get_first_table().fields[0]
    assert (visits.name, visits.arraysize) == ("visit", "*")
    assert said_by_fitsverify(tables_below(exported, small_run)) == []
    assert said_by_stilts([tmp_path / "zero.vot"]) == []
