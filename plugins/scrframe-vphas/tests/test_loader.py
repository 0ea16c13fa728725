"""The loader on good catalogues: formulas, units, keys, order."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from scrframe_vphas import loader
from scrframe_vphas.layout import OWN_COLUMNS, PROVIDED
from scrframe_vphas.settings import VphasCasuConfig
from scrframe_vphas.simulate import write_simulated

from scrframe.errors import DataError
from scrframe.plugin.helpers.fits import FitsFile
from scrframe.tables import BY_NAME, Detections, SimulatedVisit

Read = Callable[..., Detections]


def native(values: np.ndarray) -> np.ndarray:
    return np.array(values, dtype=values.dtype.newbyteorder("="))


def edit(path: Path, change: Callable[[fits.HDUList], object]) -> None:
    """Change a catalogue with astropy."""
    with fits.open(path, lazy_load_hdus=False) as hdus:
        changed = change(hdus)
        new = fits.HDUList(changed) if isinstance(changed, list) else hdus
        new.writeto(path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def test_golden_values(catalogue: Path, read_all: Read) -> None:
    """By hand: 23.5 - 0.25 - 2.5 log10(3000 / 150) = 19.997425; error 2.5 log10(1.1)."""

    def change(hdus: fits.HDUList) -> None:
        table = hdus[3]
        table.header.update(MAGZPT=23.5, APCOR3=0.25, EXTINCT=0.5)
        flux, error = table.data["Aper_flux_3"], table.data["Aper_flux_3_err"]
        flux[:4] = 3000.0, 0.0, -5.0, 3000.0
        error[:4] = 300.0, 300.0, 300.0, 0.3
        hdus[0].header["ESO TEL AIRM START"] = 1.2
        hdus[0].header["ESO TEL AIRM END"] = 1.6

    edit(catalogue, change)
    detections = read_all()
    here = detections["extension"] == 3
    mag, err = detections["mag"][here], detections["mag_err"][here]
    np.testing.assert_allclose(mag[0], 19.997425010840047, rtol=0, atol=1e-12)
    np.testing.assert_allclose(err[0], 0.1034817128, rtol=0, atol=1e-9)
    assert np.isnan(mag[1:3]).all()
    assert np.isnan(err[1:3]).all()
    assert err[3] == 0.001  # 2.5 log10(1.0001) is less
    np.testing.assert_allclose(read_all(min_error="0.02 mag")["mag_err"][here][3], 0.02)
    # With the switch, 0.5 x (1.4 - 1) less.
    corrected = read_all(airmass_extinction=True)["mag"][here]
    np.testing.assert_allclose(corrected[0], 19.797425010840047, rtol=0, atol=1e-12)


def test_agrees_with_a_plain_astropy_script(catalogue: Path, read_all: Read) -> None:
    detections = read_all()
    with fits.open(catalogue) as hdus:
        rows = np.concatenate([np.arange(len(table.data)) for table in hdus[1:]])
        np.testing.assert_array_equal(detections["row"], rows)
        for name, column in [("x", "X_coordinate"), ("av_conf", "Av_conf")]:
            values = np.concatenate([table.data[column] for table in hdus[1:]])
            np.testing.assert_array_equal(detections[name], values)
        ra = np.concatenate([np.rad2deg(table.data["RA"].astype(float)) for table in hdus[1:]])
        np.testing.assert_array_equal(detections["ra"], ra)


@pytest.mark.usefixtures("root")
def test_all_provided_columns_and_their_types(read_all: Read) -> None:
    detections = read_all()
    own = {column.name: column.kind for column in OWN_COLUMNS}
    assert set(detections.names) == {*PROVIDED, *own}
    assert not set(own) & set(BY_NAME)
    for name, kind in own.items():
        assert detections[name].dtype == np.dtype(kind)
    assert set(detections["file"]) == {"o20111229_00127_fix_cat.fits"}
    assert set(detections["field"]) == {"vphas_0127"}
    assert set(detections["band"]) == {"u"}
    assert set(detections["exposure_time"]) == {150.0}
    assert set(detections["mjd"]) == {55925.1234567}


@pytest.mark.usefixtures("root")
def test_only_the_columns_asked_for(read_all: Read) -> None:
    detections = read_all(["av_conf", "classification"])
    assert set(detections.names) == {*Detections.required, "av_conf", "classification"}
    with pytest.raises(DataError, match="provide no column 'gal_b'"):
        read_all(["gal_b"])


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("name", ["fitsio", "astropy"])
def test_other_readers_give_the_same(
    read_all: Read, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    library = pytest.importorskip(name if name == "fitsio" else "astropy.io.fits")
    calls = []

    def columns(file: FitsFile, wanted: dict[int, list[str]]) -> dict[int, dict[str, np.ndarray]]:
        calls.append(file)
        opened = library.FITS(str(file.path)) if name == "fitsio" else library.open(file.path)
        with opened as hdus:
            return {
                index: {
                    each: native(
                        hdus[index][each][:] if name == "fitsio" else hdus[index].data[each]
                    )
                    for each in names
                }
                for index, names in wanted.items()
            }

    expected = read_all()
    monkeypatch.setattr(loader, "read_columns", columns)
    found = read_all()
    assert calls
    assert found.arrow.schema == expected.arrow.schema
    for column in expected.names:
        if expected[column].dtype == object:
            assert found[column].tolist() == expected[column].tolist()
        else:
            assert found[column].tobytes() == expected[column].tobytes()


def test_visit_key_comes_from_the_header(root: Path, catalogue: Path, read_all: Read) -> None:
    key = "vphas_0127_55925.12346"
    assert set(read_all()["visit"]) == {key}
    deeper = root / "catalogues" / "again" / "renamed.fits.gz"
    deeper.parent.mkdir()
    deeper.write_bytes(gzip.compress(catalogue.read_bytes()))
    catalogue.unlink()
    detections = read_all()
    assert set(detections["visit"]) == {key}
    assert set(detections["file"]) == {"renamed.fits.gz"}


def test_permuted_extensions(catalogue: Path, read_all: Read) -> None:
    before = read_all()
    edit(catalogue, lambda hdus: [hdus[0], *hdus[:0:-1]])
    after = read_all()
    assert after["ccd"][0] == 4
    assert after["extension"].tolist() == sorted(after["extension"])
    key = lambda table: np.lexsort((table["row"], table["ccd"]))  # noqa: E731
    for name in ("ccd", "row", "ra", "mag"):
        np.testing.assert_array_equal(after[name][key(after)], before[name][key(before)])


def to_degrees(table: fits.BinTableHDU, unit: str | None) -> fits.BinTableHDU:
    wanted = ("X_coordinate", "Y_coordinate", "Aper_flux_3", "Aper_flux_3_err", "Classification")
    columns = [fits.Column(name, "1E", array=table.data[name]) for name in wanted]
    columns += [
        fits.Column(name, "1D", unit=unit, array=np.rad2deg(table.data[name].astype(float)))
        for name in ("RA", "DEC")
    ]
    new = fits.BinTableHDU.from_columns(columns)
    new.header.update({name: table.header[name] for name in ("CAMNUM", "MAGZPT", "APCOR3")})
    return new


@pytest.mark.parametrize("unit", ["deg", "DEGREES", None])
def test_degrees_as_float64(catalogue: Path, read_all: Read, unit: str | None) -> None:
    before = read_all()

    edit(catalogue, lambda hdus: [hdus[0], *(to_degrees(table, unit) for table in hdus[1:])])
    after = read_all([])
    for name in ("ra", "dec", "mag"):
        np.testing.assert_array_equal(after[name], before[name])


def test_exposure_time_in_the_extension(catalogue: Path, read_all: Read) -> None:
    before = read_all()

    def change(hdus: fits.HDUList) -> None:
        del hdus[0].header["EXPTIME"]
        for table in hdus[1:]:
            table.header["EXPTIME"] = 150.0

    edit(catalogue, change)
    np.testing.assert_array_equal(read_all()["mag"], before["mag"])


def test_keywords_have_settings(catalogue: Path, read_all: Read) -> None:
    edit(catalogue, lambda hdus: hdus[0].header.rename_keyword("MJD-OBS", "MJD"))
    assert set(read_all(keywords={"mjd": "MJD"})["mjd"]) == {55925.1234567}


def test_filter_and_band(catalogue: Path, read_all: Read) -> None:
    edit(catalogue, lambda hdus: hdus[0].header.set("HIERARCH ESO INS FILT1 NAME", "g_SDSS"))
    with pytest.raises(DataError, match="the filter is 'g_SDSS', expected 'u_SDSS'"):
        read_all()
    assert set(read_all(filter="g_SDSS", band="g")["band"]) == {"g"}
    assert len(read_all(filter=None)) == len(read_all(filter=["u_SDSS", "g_SDSS"])) == 40


def test_parts_are_sorted_and_stable(root: Path, catalogue: Path) -> None:
    config = VphasCasuConfig()
    for name in ("b/z.fits", "a.fits.fz"):
        (root / "catalogues" / name).parent.mkdir(exist_ok=True)
        shutil.copy(catalogue, root / "catalogues" / name)
    parts = loader.parts(config, root)
    keys = [part.key for part in parts]
    assert keys == ["catalogues/a.fits.fz", "catalogues/b/z.fits", f"catalogues/{catalogue.name}"]
    assert parts == loader.parts(config, root)
    (root / "catalogues" / "a.fits.fz").write_bytes(b"other")
    assert loader.parts(config, root)[0].fingerprint != parts[0].fingerprint


def test_ra_around_zero(
    tmp_path: Path, make_visit: Callable[..., SimulatedVisit], read_all: Read
) -> None:
    write_simulated(make_visit(ra_deg=0.05), tmp_path)
    detections = read_all(ccds=32)
    assert detections["ra"].min() < 1
    assert detections["ra"].max() > 359
