"""What is wrong is said in one line, with file, extension and name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from pydantic import ValidationError
from scrframe_vphas import loader
from scrframe_vphas.settings import VphasCasuConfig

from scrframe.errors import DataError
from scrframe.tables import Detections

Read = Callable[..., Detections]
Change = Callable[[fits.HDUList], object]


def edit(path: Path, change: Change) -> None:
    with fits.open(path, lazy_load_hdus=False) as hdus:
        change(hdus)
        hdus.writeto(path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def check(root: Path) -> None:
    config = VphasCasuConfig(ccds=4)
    for part in loader.parts(config, root):
        loader.check(part, config)


def remove_column(index: int, name: str) -> Change:
    def change(hdus: fits.HDUList) -> None:
        hdus[index].columns.del_col(name)

    return change


def set_unit(name: str, unit: str) -> Change:
    def change(hdus: fits.HDUList) -> None:
        for table in hdus[1:]:
            table.columns[name].unit = unit

    return change


HEADER_FAULTS: dict[str, tuple[Change, str]] = {
    "missing extension": (
        lambda hdus: hdus.pop(3),
        "has 3 extensions, expected 4: CAMNUM 3 missing",
    ),
    "no extensions": (
        lambda hdus: hdus.__delitem__(slice(1, None)),
        "is not a CASU catalogue: it has no extensions",
    ),
    "image extension": (
        lambda hdus: hdus.__setitem__(3, fits.ImageHDU(np.zeros((2, 2)))),
        "extension 3 is not a CASU catalogue: expected a binary table, found 'IMAGE'",
    ),
    "duplicate CCD": (
        lambda hdus: hdus[4].header.set("CAMNUM", 2),
        "CAMNUM 2 stands in more than one extension .2, 4.",
    ),
    "CCD out of range": (
        lambda hdus: hdus.append(fits.BinTableHDU(hdus[1].data, fits.Header([("CAMNUM", 5)]))),
        "CAMNUM 5 is not among 1 to 4",
    ),
    "column": (
        remove_column(3, "Aper_flux_3_err"),
        "extension 3: column Aper_flux_3_err missing",
    ),
    "position": (remove_column(4, "RA"), "extension 4: column RA missing"),
    "MAGZPT": (
        lambda hdus: hdus[2].header.remove("MAGZPT"),
        "extension 2: keyword MAGZPT is missing",
    ),
    "APCOR3": (
        lambda hdus: hdus[4].header.set("APCOR3", "none"),
        "extension 4: keyword APCOR3 is 'none', expected a number",
    ),
    "CAMNUM": (
        lambda hdus: hdus[2].header.remove("CAMNUM"),
        "extension 2: keyword CAMNUM is missing",
    ),
    "MJD-OBS": (
        lambda hdus: hdus[0].header.remove("MJD-OBS"),
        "keyword MJD-OBS is missing",
    ),
    "OBJECT": (lambda hdus: hdus[0].header.set("OBJECT", " "), "keyword OBJECT is empty"),
    "EXPTIME": (
        lambda hdus: hdus[0].header.remove("EXPTIME"),
        "extension 1: keyword EXPTIME is missing",
    ),
    "EXPTIME of zero": (
        lambda hdus: hdus[0].header.set("EXPTIME", 0.0),
        "keyword EXPTIME is 0.0, expected more than 0",
    ),
    "unit of another kind": (
        set_unit("RA", "hours"),
        "extension 1: RA has TUNIT 'hours' and TFORM '1E'; expected radians as 1E or degrees",
    ),
    "degrees as float32": (
        set_unit("DEC", "deg"),
        "extension 1: DEC has TUNIT 'deg' and TFORM '1E'",
    ),
}


@pytest.mark.parametrize("fault", HEADER_FAULTS)
def test_faults_of_headers_are_seen_before_reading(
    root: Path, catalogue: Path, read_all: Read, fault: str
) -> None:
    change, message = HEADER_FAULTS[fault]
    check(root)
    edit(catalogue, change)
    for attempt in (lambda: check(root), read_all):
        with pytest.raises(DataError, match=message) as caught:
            attempt()
        assert str(catalogue) in str(caught.value)
        assert "\n" not in str(caught.value)


def scale_positions(factor: float) -> Change:
    def change(hdus: fits.HDUList) -> None:
        for table in hdus[1:]:
            table.data["RA"] *= factor
            table.data["DEC"] *= factor

    return change


def set_value(name: str, value: float) -> Change:
    def change(hdus: fits.HDUList) -> None:
        hdus[3].data[name][2] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            scale_positions(180 / np.pi),
            "row 0: RA = 10[78].*outside the range of radians",
        ),
        (scale_positions(np.pi / 180), "the detections spread over .* deg: RA in the wrong unit"),
        (set_value("DEC", 1.6), "extension 3, row 2: DEC = 1.6 is outside"),
        (set_value("RA", -4.0), "extension 3, row 2: RA = -4 is outside"),
        (set_value("RA", np.nan), "extension 3, row 2: column RA has no finite value"),
        (set_value("X_coordinate", np.inf), "row 2: column X_coordinate has no finite value"),
        (set_value("Classification", 0.5), "row 2: column Classification is 0.5, expected a whole"),
    ],
)
def test_values_out_of_range(catalogue: Path, read_all: Read, change: Change, message: str) -> None:
    edit(catalogue, change)
    with pytest.raises(DataError, match=message) as caught:
        read_all()
    assert str(catalogue) in str(caught.value)


def test_keywords_that_only_some_columns_need(catalogue: Path, read_all: Read) -> None:
    edit(catalogue, lambda hdus: hdus[3].header.remove("SEEING"))
    assert len(read_all([])) == 40
    with pytest.raises(DataError, match="extension 3: keyword SEEING is missing"):
        read_all(["seeing"])


def test_number_of_ccds_is_a_setting(catalogue: Path, read_all: Read) -> None:
    with pytest.raises(DataError, match=r"has 4 extensions, expected 32: CAMNUM 5, 6.* 32 missing"):
        read_all(ccds=32)


def test_truncation(root: Path, catalogue: Path, read_all: Read) -> None:
    content = catalogue.read_bytes()
    for share in (0.001, 0.3, 0.5, 0.77, 0.999):
        catalogue.write_bytes(content[: int(len(content) * share)])
        for attempt in (lambda: check(root), read_all):
            with pytest.raises(DataError, match="truncated") as caught:
                attempt()
            assert str(catalogue) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "is empty"), (b"garbage" * 999, "is not a FITS file")]
)
def test_what_is_no_fits_file(
    root: Path, catalogue: Path, read_all: Read, content: bytes, message: str
) -> None:
    catalogue.write_bytes(content)
    for attempt in (lambda: check(root), read_all):
        with pytest.raises(DataError, match=message):
            attempt()


def test_nothing_found(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no catalogues match 'catalogues/\*\*/\*.fits\*' below"):
        loader.parts(VphasCasuConfig(), tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"aperture": 8}, "only apertures 1 to 7 have a correction"),
        ({"aperture": 0}, "only apertures 1 to 7"),
        ({"aperture": "3"}, "valid integer"),
        ({"catalogues": "/data/*.fits"}, "not a pattern of files below the data root"),
        ({"catalogues": "../*.fits"}, "not a pattern of files below the data root"),
        ({"min_error": 0.001}, "has no unit"),
        ({"min_error": "-1 mag"}, "expected 0 or more"),
        ({"ccds": 0}, "greater than or equal to 1"),
        ({"apperture": 3}, "Extra inputs"),
    ],
)
def test_settings_that_do_not_do(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        VphasCasuConfig.model_validate(settings)
