"""The absolute tie of a run: what the user supplies, and the stars that it is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from astropy import units as u
from scipy.spatial import cKDTree

from scrframe.arrays import FloatArray, IntArray
from scrframe.config.results import (
    AbsoluteSettings,
    PassbandSettings,
    StandardsSettings,
    VegaSettings,
)
from scrframe.errors import CalibrationError, DataError
from scrframe.io.user_table import UserTable, read_user_table
from scrframe.scr.absolute import tie
from scrframe.spectra.passband import require_coverage, synthetic_magnitudes
from scrframe.tables import FLAG_BITS, Spectra, chord, unit_vectors
from scrframe.tables.solution import AbsoluteTie

_FLUX_UNIT = u.W / u.m**2 / u.nm
#: How files spell units that astropy does not know.
_SPELLINGS = {
    "angstroms": "Angstrom",
    "microns": "um",
    "flam": "erg / (s cm2 Angstrom)",
}


def path_below(root: Path, file: str) -> Path:
    """Return the path of a file below the data root; an absolute one stays."""
    return root / Path(file).expanduser()


def read_standards(settings: StandardsSettings, root: Path) -> UserTable:
    """Return the table of standards, its columns checked.

    Raises
    ------
    DataError
        If the file or a column cannot be used, or a star is named twice.
    """
    names = [name for name in settings.columns.model_dump().values() if name is not None]
    table = read_user_table(path_below(root, settings.file), names)
    for name in names:
        if name == settings.columns.source_id:
            if len(np.unique(table.integers(name))) < len(table.integers(name)):
                raise DataError(f"{table.path}: column {name} names a star twice")
        elif name in (settings.columns.ra, settings.columns.dec):
            degrees(table, name)
        else:
            table.floats(name)
    if settings.columns.error is not None:
        errors = table.floats(settings.columns.error)
        if (errors < 0).any():
            raise DataError(f"{table.path}: column {settings.columns.error} holds negative errors")
    return table


def degrees(table: UserTable, name: str) -> FloatArray:
    """Return a position in degrees, the unit of a column that declares none."""
    given = None if name in table.units else "deg"
    return table.floats(name) * _factor(table, name, u.deg, given)


def read_passband(settings: PassbandSettings, root: Path) -> tuple[FloatArray, FloatArray]:
    """Return wavelengths in nm, ascending, and transmissions.

    Raises
    ------
    DataError
        If the file or a column cannot be used, or a unit is not known.
    """
    names = settings.wavelength, settings.transmission
    table = read_user_table(path_below(root, settings.file), names)
    factor = _factor(table, settings.wavelength, u.nm, settings.wavelength_unit)
    wavelength, transmission = _curve(table, *names, factor)
    if (transmission < 0).any():
        raise DataError(
            f"{table.path}: column {settings.transmission} holds negative transmissions; set"
            " them to 0"
        )
    if not transmission.any():
        raise DataError(f"{table.path}: column {settings.transmission} is 0 throughout")
    return wavelength, transmission


def read_vega(settings: VegaSettings, root: Path) -> tuple[FloatArray, FloatArray]:
    """Return wavelengths in nm, ascending, and fluxes in W m^-2 nm^-1.

    Raises
    ------
    DataError
        If the file or a column cannot be used, or a unit is not known.
    """
    table = read_user_table(path_below(root, settings.file), (settings.wavelength, settings.flux))
    factor = _factor(table, settings.wavelength, u.nm, settings.wavelength_unit)
    wavelength, flux = _curve(table, settings.wavelength, settings.flux, factor)
    return wavelength, flux * _factor(table, settings.flux, _FLUX_UNIT, settings.flux_unit)


def _curve(table: UserTable, x_name: str, y_name: str, factor: float) -> tuple[FloatArray, ...]:
    """Return a curve by ascending wavelength."""
    x, y = table.floats(x_name) * factor, table.floats(y_name)
    for name, values in ((x_name, x), (y_name, y)):
        if not np.isfinite(values).all():
            raise DataError(f"{table.path}: column {name} lacks a value in some row")
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    if len(x) < 2 or (np.diff(x) <= 0).any() or x[0] <= 0:
        raise DataError(
            f"{table.path}: column {x_name} must hold two or more different, positive wavelengths"
        )
    return x, y


def _factor(table: UserTable, name: str, unit: u.UnitBase, given: str | None) -> float:
    """Return the factor from a column's unit, of the file or as given, to the unit wanted."""
    declared = table.units.get(name, "")
    texts = [_SPELLINGS.get(declared.lower(), declared), given]
    try:
        found = [float(u.Unit(text).to(unit)) for text in texts if text]
    except (ValueError, TypeError):
        raise DataError(
            f'{table.path}: column {name} has unit "{declared}"; expected {unit} or what'
            " converts to it"
        ) from None
    if not found:
        raise DataError(f"{table.path}: column {name} declares no unit; give it in the description")
    if not np.allclose(found, found[0], rtol=1e-9, atol=0):
        raise DataError(
            f'{table.path}: column {name} has unit "{declared}", but the description says {given}'
        )
    return found[0]


#: Stars in one cell of this size share the errors of their corrections, for want of a better
#: measure: a field is about so large.
CELL_DEG = 1.0
#: Magnitude error of a relative flux error of 1.
MAG_PER_RELATIVE = 2.5 / np.log(10.0)


@dataclass(frozen=True)
class Compared:
    """Stars of the star catalogue with a standard magnitude.

    Attributes
    ----------
    row : ndarray of int, shape (n,)
        Row in the star catalogue.
    mag, err : ndarray, shape (n,)
        Standard magnitude and its error.
    colour : ndarray, shape (n,)
        Colour of the colour term.
    colour_name : str
    source : str
        Name of the file.
    offered : str
        How many standards or spectra there were, in words.
    """

    row: IntArray
    mag: FloatArray
    err: FloatArray
    colour: FloatArray
    colour_name: str
    source: str
    offered: str


def absolute_files(settings: AbsoluteSettings, root: Path) -> tuple[Path, ...]:
    """Read what the block names once, and return its files; a check before any work.

    Raises
    ------
    DataError
        If a file or a column cannot be used.
    """
    if settings.kind == "standards":
        assert settings.standards is not None
        read_standards(settings.standards, root)
        return (path_below(root, settings.standards.file),)
    assert settings.passband is not None
    read_passband(settings.passband, root)
    files = [path_below(root, settings.passband.file)]
    vega = settings.passband.vega
    if settings.system == "Vega" and vega is not None:
        read_vega(vega, root)
        files.append(path_below(root, vega.file))
    return tuple(files)


def check_passband(settings: AbsoluteSettings, root: Path, wavelength_nm: FloatArray) -> None:
    """Refuse a passband that spectra on a grid do not cover, as soon as the grid is known.

    Raises
    ------
    CalibrationError
        If less than 99 per cent of its area lies within the grid.
    """
    if settings.kind == "passband" and settings.passband is not None:
        band = read_passband(settings.passband, root)
        with _about(settings.passband.file):
            require_coverage(wavelength_nm, *band)


def absolute_tie(
    settings: AbsoluteSettings, root: Path, stars: pa.Table, spectra: Spectra | None
) -> AbsoluteTie:
    """Compare the star catalogue with true magnitudes.

    Stars count that are constant (where errors have been estimated), within the limits of
    brightness, and for synthetic photometry within the range of the flux correction.

    Parameters
    ----------
    settings : AbsoluteSettings
        The description's block `absolute`.
    root : Path
        Data root.
    stars : pyarrow.Table
        The star catalogue, before the tie.
    spectra : Spectra or None
        Observed spectra of its stars, for synthetic photometry.

    Returns
    -------
    AbsoluteTie
        Its shift is to be added to u_ZP.

    Raises
    ------
    DataError
        If a file or a column cannot be used.
    CalibrationError
        If too few stars can be compared, or the spectra do not cover the passband.
    """
    if settings.kind == "standards":
        assert settings.standards is not None
        compared = _standards(settings.standards, root, stars)
    else:
        assert settings.passband is not None
        compared = _synthetic(settings, settings.passband, root, stars, spectra)
    suitable = _suitable(settings, stars)[compared.row]
    suitable &= np.isfinite(compared.mag) & np.isfinite(compared.err)
    chosen = np.flatnonzero(suitable)
    if len(chosen) < settings.min_stars:
        raise CalibrationError(
            f"absolute: {len(chosen)} star(s) can be compared, and min_stars asks for"
            f" {settings.min_stars}: {compared.offered}, {len(compared.row)} of them in the star"
            f" catalogue, {len(chosen)} of these constant and within the limits of brightness"
        )
    row = compared.row[chosen]
    with_colour = settings.colour_order > 0
    with _about(compared.source):
        found = tie(
            _column(stars, "mag_cal")[row],
            _column(stars, "photometric_err")[row],
            compared.mag[chosen],
            compared.err[chosen],
            compared.colour[chosen] if with_colour else None,
            system=settings.system,
            order=settings.colour_order,
            pivot=settings.colour_pivot,
            sys_mag=settings.err,
            shared_err=np.nan_to_num(_column(stars, "offset_err")[row]),
            group=_cells(_column(stars, "ra_deg")[row], _column(stars, "dec_deg")[row]),
        )
    name = compared.colour_name if with_colour else ""
    return replace(found, kind=settings.kind, source=Path(compared.source).name, colour=name)


@contextmanager
def _about(file: str) -> Iterator[None]:
    """Say of what file an error speaks."""
    try:
        yield
    except CalibrationError as error:
        raise CalibrationError(f"absolute: {file}: {error}") from None


def _column(stars: pa.Table, name: str) -> FloatArray:
    return np.asarray(stars.column(name).to_numpy(), dtype=np.float64)


def _suitable(settings: AbsoluteSettings, stars: pa.Table) -> npt.NDArray[np.bool_]:
    mag = _column(stars, "mag_cal")
    bright = -np.inf if settings.bright is None else settings.bright
    faint = np.inf if settings.faint is None else settings.faint
    fine = np.isfinite(mag) & np.isfinite(_column(stars, "photometric_err"))
    fine &= (mag >= bright) & (mag <= faint)
    # Catalogued errors are too small to judge by: with these alone most bright stars seem
    # to vary, and are left to the robust mean.
    judged = np.isfinite(_column(stars, "offset_err"))
    for name in ("variable", "one_outlier"):
        fine &= ~(judged & np.asarray(stars.column(name).to_numpy(), dtype=bool))
    if settings.kind == "passband":
        flags = np.asarray(stars.column("flags").to_numpy())
        fine &= (flags & FLAG_BITS["outside_flux_correction"]) == 0
    return np.asarray(fine)


def _cells(ra_deg: FloatArray, dec_deg: FloatArray) -> IntArray:
    """Return codes of cells of the sky, about `CELL_DEG` wide and high, shape (n,)."""
    band = np.floor(dec_deg / CELL_DEG)
    east = np.floor(ra_deg * np.cos(np.deg2rad((band + 0.5) * CELL_DEG)) / CELL_DEG)
    code = np.unique(np.stack([band, east]), axis=1, return_inverse=True)[1]
    return np.asarray(code, dtype=np.int64).ravel()


def _standards(settings: StandardsSettings, root: Path, stars: pa.Table) -> Compared:
    table = read_standards(settings, root)
    columns = settings.columns
    standard, row = _match(settings, table, stars)
    none = np.zeros(len(standard))
    own_colour = columns.colour is not None
    return Compared(
        row=row,
        mag=table.floats(columns.magnitude)[standard],
        err=none if columns.error is None else table.floats(columns.error)[standard],
        colour=table.floats(columns.colour)[standard]
        if columns.colour is not None
        else _column(stars, "colour0")[row],
        colour_name=str(columns.colour) if own_colour else "colour0",
        source=settings.file,
        offered=f"{len(table.floats(columns.magnitude))} standards in {settings.file}",
    )


def _match(
    settings: StandardsSettings, table: UserTable, stars: pa.Table
) -> tuple[IntArray, IntArray]:
    """Return the rows of standards and of the stars that they are."""
    columns = settings.columns
    if columns.source_id is not None:
        there = np.asarray(stars.column("source_id").to_numpy())
        found = np.intersect1d(table.integers(columns.source_id), there, return_indices=True)
        return found[1], found[2]
    assert columns.ra is not None and columns.dec is not None
    ra, dec = degrees(table, columns.ra), degrees(table, columns.dec)
    placed = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    here = unit_vectors(ra[placed], dec[placed])
    sky = unit_vectors(_column(stars, "ra_deg"), _column(stars, "dec_deg"))
    limit = chord(settings.match_radius / 3600)
    distance, star = map(np.asarray, cKDTree(sky).query(here, distance_upper_bound=limit))
    hit = np.flatnonzero(np.isfinite(distance))
    # Of several standards near one star the nearest is it.
    hit = hit[np.argsort(distance[hit], kind="stable")]
    row, first = np.unique(star[hit], return_index=True)
    return placed[hit[first]], row


def _synthetic(
    settings: AbsoluteSettings,
    band: PassbandSettings,
    root: Path,
    stars: pa.Table,
    spectra: Spectra | None,
) -> Compared:
    if spectra is None:
        raise CalibrationError(
            "absolute: synthetic photometry needs spectra, and the reference catalogue has none;"
            " tie by standards"
        )
    band_nm, transmission = read_passband(band, root)
    vega, vega_mag = None, 0.0
    if settings.system == "Vega":
        assert band.vega is not None
        vega, vega_mag = read_vega(band.vega, root), band.vega.magnitude
    there = np.asarray(stars.column("source_id").to_numpy())
    _, of_spectrum, row = np.intersect1d(spectra.source_id, there, return_indices=True)
    with _about(band.file):
        mag = synthetic_magnitudes(
            spectra.flux[of_spectrum],
            spectra.wavelength_nm,
            band_nm,
            transmission,
            settings.system,
            vega,
        )
    snr = spectra.snr[of_spectrum]
    err = MAG_PER_RELATIVE / np.where(snr > 0, snr, np.nan)
    colour = _column(stars, "colour0")[row]
    offered = f"{len(spectra)} spectra"
    return Compared(row, mag + vega_mag, err, colour, "colour0", band.file, offered)
