"""Simulated visits as CASU would deliver them: same layout, columns and keywords."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scrframe.tables import SimulatedVisit
from scrframe_vphas.camera import N_CCDS, PIXEL_SCALE_ARCSEC, omegacam
from scrframe_vphas.layout import (
    APERTURE_RADII,
    COLUMN_NAMES,
    CORRECTED_APERTURES,
    column_unit,
    flux_column,
)
from scrframe_vphas.settings import VphasCasuConfig

FloatArray = npt.NDArray[np.float64]

BLOCK = 2880
ZERO_POINT_MAG = 24.0
EXTINCTION_MAG = 0.47
SKY_ADU, SKY_NOISE_ADU, SATURATION_ADU = 45.0, 4.0, 60000.0
CORE_RADIUS_PIX = 5.0
_MJD_ZERO = datetime(1858, 11, 17)
_INDEX = {name: number for number, name in enumerate(COLUMN_NAMES)}


def write_simulated(
    visit: SimulatedVisit, root: Path, config: VphasCasuConfig | None = None
) -> Path:
    """Write a simulated visit below ``root/catalogues`` and return the file.

    Fluxes and their errors are such that the loader's formulas give back the magnitudes
    and errors of the visit to float32 precision; a row without a magnitude has no flux.

    Parameters
    ----------
    visit : SimulatedVisit
        The visit; `detections` sorted by ccd.
    root : Path
        The data root.
    config : VphasCasuConfig, optional
        Taken as loaders are asked; the layout is CASU's, whatever it says.
    """
    folder = root / "catalogues"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(visit)
    ccd = np.asarray(visit.detections["ccd"])
    if np.any(np.diff(ccd) < 0) or np.any((ccd < 1) | (ccd > N_CCDS)):
        raise ValueError(f"detections must be sorted by ccd, from 1 to {N_CCDS}")
    bounds = np.searchsorted(ccd, np.arange(1, N_CCDS + 2))
    corrections = aperture_corrections(visit.seeing_arcsec / PIXEL_SCALE_ARCSEC)
    records = _records(visit, corrections)
    records[:, 0] = np.arange(len(ccd)) - bounds[ccd - 1] + 1
    with path.open("wb") as file:
        file.write(_primary(visit))
        for number in range(1, N_CCDS + 1):
            rows = records[bounds[number - 1] : bounds[number]]
            file.write(_extension_header(visit, number, len(rows), corrections))
            file.write(_padded(rows.tobytes(), b"\0"))
    return path


def file_name(visit: SimulatedVisit) -> str:
    """Return the file name: date of the night (from noon to noon) and a running number."""
    night = _MJD_ZERO + timedelta(days=visit.mjd - 0.5)
    return f"o{night:%Y%m%d}_{visit.number:05d}_fix_cat.fits"


def aperture_corrections(seeing_pix: float) -> FloatArray:
    """Return -2.5 log10 of the light within each aperture, in mag, shape (13,).

    The profile is nine tenths a Gaussian and one tenth a wing three times as wide.
    """
    sigma = seeing_pix / 2.3548
    scaled = (np.asarray(APERTURE_RADII) * CORE_RADIUS_PIX / sigma) ** 2 / 2
    light = 0.9 * -np.expm1(-scaled) + 0.1 * -np.expm1(-scaled / 9)
    # Headers hold five decimals; fluxes must go by what they say.
    return np.round(-2.5 * np.log10(light), 5)


def _records(visit: SimulatedVisit, corrections: FloatArray) -> npt.NDArray[Any]:
    """Return the rows of all CCDs as big-endian float32, shape (n, 80)."""
    table = visit.detections
    source = {name: np.asarray(table[name], dtype=np.float64) for name in table.column_names}
    known = np.isfinite(source["mag"])
    total = visit.exposure_time_s * 10 ** (0.4 * (ZERO_POINT_MAG - source["mag"]))
    total = np.where(known, total, 0.0)
    relative = np.where(known, np.expm1(0.4 * np.log(10) * source["mag_err"]), 1.0)
    out = np.zeros((table.num_rows, len(COLUMN_NAMES)), dtype=">f4")

    def put(name: str, values: Any) -> None:
        out[:, _INDEX[name]] = values

    for number, correction in enumerate(corrections, start=1):
        flux = total * 10 ** (-0.4 * correction)
        # Sky noise grows with the radius; for the standard aperture this is `relative`.
        spread = APERTURE_RADII[number - 1] if number > 3 else 1.0
        put(flux_column(number), flux)
        put(flux_column(number) + "_err", np.where(known, flux * relative * spread, 1.0))
    put("X_coordinate", source["x"])
    put("Y_coordinate", source["y"])
    put("RA", np.deg2rad(source["ra"]))
    put("DEC", np.deg2rad(source["dec"]))
    put("Classification", source["classification"])
    for name, values in _shapes(visit, source, total, relative).items():
        put(name, values)
    return out


def _shapes(
    visit: SimulatedVisit, source: dict[str, FloatArray], total: FloatArray, relative: FloatArray
) -> dict[str, Any]:
    """Return plausible values of the columns that are not modelled, by name."""
    sigma = visit.seeing_arcsec / PIXEL_SCALE_ARCSEC / 2.3548
    peak = np.minimum(total / (2 * np.pi * sigma**2), SATURATION_ADU)
    # A fixed function of the position stands for scatter: no random numbers are drawn here.
    wave = np.sin(source["x"] * 0.37 + source["y"] * 0.11)
    columns: dict[str, Any] = {
        "Isophotal_flux": 0.95 * total,
        "X_coordinate_err": 0.3 * sigma * relative,
        "Y_coordinate_err": 0.3 * sigma * relative,
        "Gaussian_sigma": sigma * (1 + 0.05 * wave),
        "Ellipticity": 0.06 + 0.04 * wave,
        "Position_angle": 90 + 80 * wave,
        "Peak_height": peak,
        "Peak_height_err": peak * relative,
        "Petr_radius": 3 * sigma,
        "Kron_radius": 2.5 * sigma,
        "Half_radius": 1.18 * sigma,
        "Sky_level": SKY_ADU + wave,
        "Sky_rms": SKY_NOISE_ADU,
        "Av_conf": 100 + 3 * wave,
        "Statistic": wave,
    }
    for kind, share in (("Petr", 0.98), ("Kron", 0.96), ("Half", 0.5)):
        columns[f"{kind}_flux"] = share * total
        columns[f"{kind}_flux_err"] = share * total * relative
    for step in range(1, 9):
        level = 1.5 * SKY_NOISE_ADU * 2.0 ** (step - 1)
        above = np.log(np.maximum(peak / level, 1.0))
        columns[f"Areal_{step}_profile"] = np.round(2 * np.pi * sigma**2 * above)
    return columns


def _primary(visit: SimulatedVisit) -> bytes:
    start = _MJD_ZERO + timedelta(days=visit.mjd)
    half = 0.004
    return _header(
        [
            ("SIMPLE", True),
            ("BITPIX", 8),
            ("NAXIS", 0),
            ("EXTEND", True),
            ("TELESCOP", "ESO-VST"),
            ("INSTRUME", "OMEGACAM"),
            ("OBJECT", visit.field),
            ("RA", float(visit.ra_deg)),
            ("DEC", float(visit.dec_deg)),
            ("EXPTIME", float(visit.exposure_time_s)),
            ("MJD-OBS", float(visit.mjd)),
            ("DATE-OBS", start.isoformat(timespec="milliseconds")),
            ("HIERARCH ESO INS FILT1 NAME", f"{visit.band}_SDSS"),
            ("HIERARCH ESO OBS NAME", f"p88{visit.field}_{visit.band * 2}na"),
            ("HIERARCH ESO OBS ID", 700000 + visit.number),
            ("HIERARCH ESO TPL EXPNO", visit.pointing),
            ("HIERARCH ESO TPL NEXP", 2),
            ("HIERARCH ESO TEL AIRM START", float(visit.airmass) - half),
            ("HIERARCH ESO TEL AIRM END", float(visit.airmass) + half),
            ("COMMENT", "Simulated catalogue, not an observation."),
        ]
    )


def _extension_header(
    visit: SimulatedVisit, number: int, rows: int, corrections: FloatArray
) -> bytes:
    cards: list[tuple[str, Any]] = [
        ("EXTNAME", f"ESO_CCD_#{64 + number}"),
        ("CAMNUM", number),
        ("MAGZPT", ZERO_POINT_MAG),
        ("MAGZRR", 0.02),
        ("EXTINCT", EXTINCTION_MAG),
        *((f"APCOR{a}", float(corrections[a - 1])) for a in CORRECTED_APERTURES),
        ("APCORPK", float(corrections[0]) + 1.5),
        ("APASSZPT", ZERO_POINT_MAG),
        ("APASSZRR", 0.03),
        ("APASSNUM", 120),
        ("NIGHTZPT", ZERO_POINT_MAG),
        ("SEEING", float(visit.seeing_arcsec) / PIXEL_SCALE_ARCSEC),
        ("ELLIPTIC", 0.06),
        ("SKYLEVEL", SKY_ADU),
        ("SATURATE", SATURATION_ADU),
        ("NEBULISD", False),
        ("CROWDED", False),
    ]
    first, columns = _table_cards()
    text = first + _texts([("NAXIS2", rows)])[0] + columns + "".join(_texts(cards))
    return _padded((text + f"{'END':80}").encode("ascii"), b" ")


@cache
def _table_cards() -> tuple[str, str]:
    """Return the cards before and after NAXIS2 that are the same in every table."""
    first = [("XTENSION", "BINTABLE"), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", 320)]
    after: list[tuple[str, Any]] = [("PCOUNT", 0), ("GCOUNT", 1), ("TFIELDS", len(COLUMN_NAMES))]
    for number, name in enumerate(COLUMN_NAMES, start=1):
        after += [(f"TTYPE{number}", name), (f"TFORM{number}", "1E")]
        if column_unit(name):
            after.append((f"TUNIT{number}", column_unit(name)))
    return "".join(_texts(first)), "".join(_texts(after))


def _header(cards: Iterable[tuple[str, Any]]) -> bytes:
    text = "".join(_texts(cards)) + f"{'END':80}"
    return _padded(text.encode("ascii"), b" ")


def _texts(cards: Iterable[tuple[str, Any]]) -> list[str]:
    return [_card(keyword, value) for keyword, value in cards]


@lru_cache(maxsize=1024, typed=True)
def _card(keyword: str, value: Any) -> str:
    """Return the text of a card; most of them are the same in every extension."""
    from astropy.io.fits import Card  # noqa: PLC0415 - slow to import

    return str(Card(keyword, value))


def _padded(data: bytes, filler: bytes) -> bytes:
    return data + filler * (-len(data) % BLOCK)


def write_example(root: Path) -> list[Path]:
    """Write two small overlapping visits and return the files."""
    generator = np.random.default_rng(1)
    camera = omegacam()
    rows = 10 * N_CCDS
    ccd = np.repeat(camera.ccd, 10)
    x, y = generator.uniform(1, camera.nx, rows), generator.uniform(1, camera.ny, rows)
    scale_deg = PIXEL_SCALE_ARCSEC / 3600
    east = camera.xi_deg[ccd - 1] + camera.x_sign * (x - (camera.nx + 1) / 2) * scale_deg
    north = camera.eta_deg[ccd - 1] + camera.y_sign * (y - (camera.ny + 1) / 2) * scale_deg
    files = []
    for number, (ra, dec) in enumerate([(108.0, -1.0), (107.8367, -0.8167)], start=1):
        mag = generator.uniform(14, 20, rows)
        table = pa.table(
            {
                "ccd": ccd,
                "x": x,
                "y": y,
                "ra": ra + east / np.cos(np.deg2rad(dec)),
                "dec": dec + north,
                "mag": mag,
                "mag_err": 0.002 + 10 ** (0.4 * (mag - 23)),
                "classification": np.full(rows, -1, dtype=np.int16),
            }
        )
        visit = SimulatedVisit(
            "vphas_0001",
            number,
            number,
            ra,
            dec,
            56000.1 + number / 100,
            150.0,
            1.2,
            0.9,
            "u",
            table,
        )
        files.append(write_simulated(visit, root))
    return files
