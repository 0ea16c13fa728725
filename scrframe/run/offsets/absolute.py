"""The absolute tie of a run: what the user supplies, and the stars that it is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.spatial import cKDTree

from scrframe.arrays import FloatArray, IntArray
from scrframe.config.results import (
    AbsoluteSettings,
    PassbandSettings,
    StandardsSettings,
    VegaSettings,
)
from scrframe.errors import CalibrationError, DataError, number_of
from scrframe.io import read_table
from scrframe.io.block import Block
from scrframe.scr.absolute import tie
from scrframe.spectra.passband import (
    conversion,
    read_passband,
    read_spectrum,
    require_coverage,
    synthetic_magnitudes,
)
from scrframe.tables import FLAG_BITS, Spectra, chord, unit_vectors
from scrframe.tables.solution import AbsoluteTie
from scrframe.units import MAG_PER_RELATIVE_FLUX


def path_below(root: Path, file: str) -> Path:
    """Return the path of a file below the data root; an absolute one stays."""
    return root / Path(file).expanduser()


def read_standards(settings: StandardsSettings, root: Path) -> Block:
    """Return the table of standards, its columns checked.

    Raises DataError if the file or a column cannot be used, or a star is named twice.
    """
    names = [name for name in settings.columns.model_dump().values() if name is not None]
    table = read_table(path_below(root, settings.file), names)
    for name in names:
        if name == settings.columns.source_id:
            if len(np.unique(table.identifiers(name))) < len(table.identifiers(name)):
                raise DataError(f"{table.label}: column {name} names a star twice")
        elif name in (settings.columns.ra, settings.columns.dec):
            _degrees(table, name)
        else:
            table.numbers(name)
    if settings.columns.error is not None:
        errors = table.numbers(settings.columns.error)
        if (errors < 0).any():
            raise DataError(f"{table.label}: column {settings.columns.error} holds negative errors")
    return table


def _degrees(table: Block, name: str) -> FloatArray:
    """Return a position in degrees, the unit of a column that declares none."""
    return table.numbers(name) * conversion(table, name, "deg", default="deg")


def _passband(settings: PassbandSettings, root: Path) -> tuple[FloatArray, FloatArray]:
    path = path_below(root, settings.file)
    return read_passband(path, settings.wavelength, settings.transmission, settings.wavelength_unit)


def _vega(settings: VegaSettings, root: Path) -> tuple[FloatArray, FloatArray]:
    units = (settings.wavelength_unit, settings.flux_unit)
    path = path_below(root, settings.file)
    return read_spectrum(path, settings.wavelength, settings.flux, units)


#: Stars in one cell of this size share the errors of their corrections, for want of a better
#: measure: a field is about so large.
CELL_DEG = 1.0


@dataclass(frozen=True)
class Compared:
    """Stars of the star catalogue with a standard magnitude."""

    #: Row in the star catalogue. Shape (n,).
    row: IntArray
    #: Standard magnitude and its error. Shape (n,).
    mag: FloatArray
    err: FloatArray
    #: Colour of the colour term. Shape (n,).
    colour: FloatArray
    colour_name: str
    #: Name of the file.
    source: str
    #: How many standards or spectra there were, in words.
    offered: str


def absolute_files(settings: AbsoluteSettings, root: Path) -> tuple[Path, ...]:
    """Read what the block names once, and return its files; a check before any work.

    Raises DataError if a file or a column cannot be used.
    """
    if settings.kind == "standards":
        assert settings.standards is not None
        read_standards(settings.standards, root)
        return (path_below(root, settings.standards.file),)
    assert settings.passband is not None
    _passband(settings.passband, root)
    files = [path_below(root, settings.passband.file)]
    vega = settings.passband.vega
    if settings.system == "Vega" and vega is not None:
        _vega(vega, root)
        files.append(path_below(root, vega.file))
    return tuple(files)


def check_passband(settings: AbsoluteSettings, root: Path, wavelength_nm: FloatArray) -> None:
    """Refuse a passband that spectra on a grid do not cover, as soon as the grid is known.

    Raises CalibrationError if less than 99 per cent of its area lies within the grid.
    """
    if settings.kind == "passband" and settings.passband is not None:
        band = _passband(settings.passband, root)
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
            f"absolute: {number_of(len(chosen), 'star')} can be compared, and min_stars asks for"
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
        mag=table.numbers(columns.magnitude)[standard],
        err=none if columns.error is None else table.numbers(columns.error)[standard],
        colour=table.numbers(columns.colour)[standard]
        if columns.colour is not None
        else _column(stars, "colour0")[row],
        colour_name=str(columns.colour) if own_colour else "colour0",
        source=settings.file,
        offered=f"{len(table.numbers(columns.magnitude))} standards in {settings.file}",
    )


def _match(settings: StandardsSettings, table: Block, stars: pa.Table) -> tuple[IntArray, IntArray]:
    """Return the rows of standards and of the stars that they are."""
    columns = settings.columns
    if columns.source_id is not None:
        there = np.asarray(stars.column("source_id").to_numpy())
        found = np.intersect1d(table.identifiers(columns.source_id), there, return_indices=True)
        return found[1], found[2]
    assert columns.ra is not None and columns.dec is not None
    ra, dec = _degrees(table, columns.ra), _degrees(table, columns.dec)
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
    band_nm, transmission = _passband(band, root)
    vega, vega_mag = None, 0.0
    if settings.system == "Vega":
        assert band.vega is not None
        vega, vega_mag = _vega(band.vega, root), band.vega.magnitude
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
    err = MAG_PER_RELATIVE_FLUX / np.where(snr > 0, snr, np.nan)
    colour = _column(stars, "colour0")[row]
    offered = f"{len(spectra)} spectra"
    return Compared(row, mag + vega_mag, err, colour, "colour0", band.file, offered)
