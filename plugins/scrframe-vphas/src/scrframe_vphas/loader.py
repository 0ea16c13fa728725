"""From catalogue files to detections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scrframe.errors import DataError
from scrframe.plugin import Part, file_part
from scrframe.plugin.helpers.fits import Hdu, read_columns
from scrframe.plugin.helpers.formats import matching_files
from scrframe.tables import Detections
from scrframe_vphas.catalogue import Catalogue, open_catalogue, position_unit
from scrframe_vphas.layout import (
    FITS_NAME,
    OWN_COLUMNS,
    OWN_FITS_NAME,
    PROVIDED,
    flux_column,
)
from scrframe_vphas.settings import VphasCasuConfig

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

_OWN_KIND = {column.name: column.kind for column in OWN_COLUMNS}
#: How far apart the two measures of a CCD's extent on the sky may be.
_EXTENT_FACTOR = 10.0
#: Half an arcsecond: float32 radians may exceed their bounds by rounding.
_SLACK_DEG = 1.5e-4


def parts(config: VphasCasuConfig, root: Path) -> list[Part]:
    """Find the catalogues below the data root, sorted by relative path.

    Raises
    ------
    DataError
        If there are none.
    """
    found = matching_files(config.catalogues, root)
    if not found:
        raise DataError(f"no catalogues match {config.catalogues!r} below {root}")
    return [file_part(path, path.relative_to(root).as_posix()) for path in found]


def check(part: Part, config: VphasCasuConfig) -> Detections:
    """Check a catalogue's structure, columns and keywords, and return the rows of its first CCD.

    Raises
    ------
    DataError
        If the file is damaged or lacks what is needed.
    """
    catalogue = open_catalogue(part.path, config)
    catalogue.check()
    return _read(catalogue, list(Detections.required), catalogue.tables[:1])


def read(part: Part, config: VphasCasuConfig, columns: Sequence[str] | None = None) -> Detections:
    """Read one catalogue: every detection, ordered by extension and row.

    Parameters
    ----------
    part : Part
        The file.
    config : VphasCasuConfig
        Settings.
    columns : sequence of str, optional
        Columns wanted besides the required ones; None for all.

    Raises
    ------
    DataError
        If the file is damaged, or a CCD, column or keyword is missing or out of range.
    """
    catalogue = open_catalogue(part.path, config)
    catalogue.check()
    return _read(catalogue, _wanted(columns), catalogue.tables)


def _read(catalogue: Catalogue, wanted: list[str], tables: Sequence[Hdu]) -> Detections:
    config = catalogue.config
    flux = flux_column(config.aperture)
    direct = {name: FITS_NAME[name] for name in wanted if name in FITS_NAME}
    direct |= {name: OWN_FITS_NAME[name] for name in wanted if name in OWN_FITS_NAME}
    names = [*direct.values(), flux, flux + "_err"]
    data = read_columns(catalogue.file, {table.index: names for table in tables})
    pieces = [_Piece(catalogue, table, data[table.index]) for table in tables]
    return _assembled(catalogue, pieces, wanted, direct)


def _wanted(columns: Sequence[str] | None) -> list[str]:
    every = [*PROVIDED, *OWN_FITS_NAME]
    if columns is None:
        return every
    unknown = [name for name in columns if name not in every]
    if unknown:
        raise DataError(f"CASU catalogues provide no column {', '.join(map(repr, unknown))}")
    return [name for name in every if name in columns or name in Detections.required]


class _Piece:
    """The rows of one CCD."""

    def __init__(self, catalogue: Catalogue, table: Hdu, data: dict[str, Array]) -> None:
        self.catalogue, self.table, self.data = catalogue, table, data
        self.rows = table.whole("NAXIS2")

    def column(self, fits_name: str) -> FloatArray:
        """Return a column as float64, shape (n,)."""
        values = self.data[fits_name]
        if values.ndim != 1 or values.dtype.kind not in "fiu":
            raise DataError(f"{self.table.label}: column {fits_name} does not hold numbers")
        return values.astype(np.float64)

    def finite(self, fits_name: str) -> FloatArray:
        """Return a column in which every value must be finite."""
        values = self.column(fits_name)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise DataError(
                f"{self.table.label}, row {bad[0]}: column {fits_name} has no finite value"
                f" ({len(bad)} rows in all)"
            )
        return values

    def whole(self, fits_name: str) -> FloatArray:
        """Return a column of whole numbers."""
        values = self.finite(fits_name)
        bad = np.flatnonzero((values != np.round(values)) | (np.abs(values) > 2**31 - 1))
        if len(bad):
            raise DataError(
                f"{self.table.label}, row {bad[0]}: column {fits_name} is {values[bad[0]]},"
                " expected a whole number"
            )
        return values


def _assembled(
    catalogue: Catalogue, pieces: list[_Piece], wanted: list[str], direct: dict[str, str]
) -> Detections:
    counts = [piece.rows for piece in pieces]
    total = sum(counts)
    config = catalogue.config
    ra, dec = _joined(pieces, _positions)
    mag, mag_err = _joined(pieces, _magnitudes)

    def by_table(values: list[Any], dtype: str) -> Array:
        return np.repeat(np.asarray(values, dtype=dtype), counts)

    makers: dict[str, Callable[[], Any]] = {
        "visit": lambda: _label(catalogue.visit, total),
        "band": lambda: _label(config.band, total),
        "file": lambda: _label(catalogue.path.name, total),
        "field": lambda: _label(catalogue.field, total),
        "ccd": lambda: by_table(list(catalogue.ccds)[: len(pieces)], "i2"),
        "extension": lambda: by_table([piece.table.index for piece in pieces], "i2"),
        "row": lambda: np.concatenate([np.arange(count, dtype="i4") for count in counts]),
        "ra": lambda: ra,
        "dec": lambda: dec,
        "mjd": lambda: np.full(total, catalogue.mjd),
        "mag": lambda: mag,
        "mag_err": lambda: mag_err,
        "airmass": lambda: np.full(total, catalogue.airmass),
        "seeing": lambda: by_table([_seeing(catalogue, piece.table) for piece in pieces], "f8"),
        "exposure_time": lambda: by_table(
            [catalogue.exposure_time_s(piece.table) for piece in pieces], "f8"
        ),
    }
    return Detections.from_columns(
        {
            name: makers[name]() if name in makers else _direct(pieces, name, direct[name])
            for name in wanted
        }
    )


def _joined(
    pieces: list[_Piece], function: Callable[[_Piece], tuple[FloatArray, FloatArray]]
) -> tuple[FloatArray, FloatArray]:
    first, second = zip(*map(function, pieces), strict=True)
    return np.concatenate(first), np.concatenate(second)


def _direct(pieces: list[_Piece], name: str, fits_name: str) -> Array:
    if name == "classification":
        return np.concatenate([piece.whole(fits_name) for piece in pieces]).astype("i2")
    if name in ("x", "y"):
        return np.concatenate([piece.finite(fits_name) for piece in pieces])
    kind = _OWN_KIND[name]
    pick = _Piece.whole if kind.startswith("int") else _Piece.column
    return np.concatenate([pick(piece, fits_name) for piece in pieces]).astype(kind)


def _label(text: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(np.zeros(rows, dtype=np.int32), pa.array([text]))


def _seeing(catalogue: Catalogue, table: Hdu) -> float:
    return table.number(catalogue.config.keywords.seeing) * catalogue.config.pixel_scale


def _magnitudes(piece: _Piece) -> tuple[FloatArray, FloatArray]:
    """Return magnitudes and errors, shape (n,) each; NaN where the flux is not positive.

    m = MAGZPT - APCOR - 2.5 log10(flux / EXPTIME), and its error
    2.5 log10(1 + flux error / flux), at least `min_error`.
    """
    config, table = piece.catalogue.config, piece.table
    name = flux_column(config.aperture)
    flux, flux_err = piece.column(name), piece.column(name + "_err")
    flux = np.where((flux > 0) & np.isfinite(flux), flux, np.nan)
    flux_err = np.where(flux_err > 0, flux_err, np.nan)  # no error is none, and not the best
    zero = table.number(config.keywords.zero_point) - table.number(f"APCOR{config.aperture}")
    if config.airmass_extinction:
        zero -= table.number(config.keywords.extinction) * (piece.catalogue.airmass - 1)
    mag = zero - 2.5 * np.log10(flux / piece.catalogue.exposure_time_s(table))
    with np.errstate(invalid="ignore", divide="ignore"):
        mag_err = 2.5 * np.log10(1 + flux_err / flux)
    return mag, np.maximum(mag_err, config.min_error)


def _positions(piece: _Piece) -> tuple[FloatArray, FloatArray]:
    """Return RA and Dec in degrees, shape (n,) each, checked to be in range.

    Right ascensions may count on beyond 0 and 360.
    """
    ra, dec = piece.finite("RA"), piece.finite("DEC")
    unit = position_unit(piece.table)
    if unit == "radians":
        ra, dec = np.rad2deg(ra), np.rad2deg(dec)
    for name, values, low, high in (("RA", ra, -180.0, 540.0), ("DEC", dec, -90.0, 90.0)):
        bad = np.flatnonzero((values < low - _SLACK_DEG) | (values > high + _SLACK_DEG))
        if len(bad):
            raise DataError(
                f"{piece.table.label}, row {bad[0]}: {name} = {piece.data[name][bad[0]]:g} is"
                f" outside the range of {unit}: {name} in the wrong unit"
            )
    _check_extent(piece, ra, dec, unit)
    return ra % 360.0, np.clip(dec, -90.0, 90.0)


def _check_extent(piece: _Piece, ra: FloatArray, dec: FloatArray, unit: str) -> None:
    """Refuse positions that spread on the sky as no CCD does: their unit is another."""
    if piece.rows < 2:
        return
    x, y = piece.finite("X_coordinate"), piece.finite("Y_coordinate")
    scale_deg = piece.catalogue.config.pixel_scale / 3600
    on_ccd = float(np.hypot(np.ptp(x), np.ptp(y)) * scale_deg)
    east = np.ptp((ra - ra[0] + 180.0) % 360.0) * np.cos(np.deg2rad(dec[0]))
    on_sky = float(np.hypot(east, np.ptp(dec)))
    # A few pixels say nothing, and float32 is coarse on that scale.
    if on_ccd < 20 * scale_deg or on_sky == 0:
        return
    if not 1 / _EXTENT_FACTOR < on_sky / on_ccd < _EXTENT_FACTOR:
        raise DataError(
            f"{piece.table.label}: by RA and DEC in {unit} the detections spread over"
            f" {on_sky:.3g} deg, by their pixels over {on_ccd:.3g} deg: RA in the wrong unit"
        )
