"""Star flats: what the correction of a detector varies by over its pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scrframe.arrays import FloatArray, IntArray, read_only
from scrframe.errors import ConfigError, DataError, did_you_mean
from scrframe.export.pixels import PixelGrid, RowsByExposure, SkyPlaces, detector_shape
from scrframe.offsets.apply import map_part
from scrframe.plugin import Registry
from scrframe.products.finished_run import RunProducts
from scrframe.products.rows import columns_read, detections_of
from scrframe.products.run_data import RunData
from scrframe.tables import Detections, SolvedLevel

if TYPE_CHECKING:
    from astropy.io.fits import HDUList, Header

Kind = Literal["mag", "factor"]
KINDS: tuple[Kind, ...] = ("mag", "factor")
#: What a pixel of any visit has, and what the season adds.
_ALWAYS = {"ccd", "x", "y", "band"}
_SEASON = {"season"}
#: What a pixel of one visit has besides.
_OF_VISIT = {"visit", "field", "mjd", "airmass", "ra", "dec", "gal_l", "gal_b"}
#: Relative change of a flux by a magnitude.
_RELATIVE = 0.4 * np.log(10)


@dataclass(frozen=True)
class StarFlat:
    """A star flat of one CCD: add `mag` to magnitudes, or multiply pixels by `factor`.

    It is that part of the correction which varies over the detector, as the solution has it; with
    the zero point of the exposure, u_ZP included, it is the whole.

    Attributes
    ----------
    ccd : int
        Number of the CCD.
    mag, err_mag : ndarray of float64, shape (ny, nx)
        The correction, to be added to magnitudes, and its error; row 0 is at the bottom. NaN
        where the run has no correction.
    count : ndarray of int, shape (ny, nx)
        Detections of the Calibration Sample in each square of pixels.
    grid : PixelGrid
        Size of the detector and side of the squares, in pixels.
    season : int or None
        Year in whose October the season begins; None for all seasons.
    visit : str or None
        Key of the visit that it is of; None for all.
    levels, left_out : tuple of str
        Levels that are in it, and those that differ from visit to visit and are not.
    facts : mapping of str to str
        Survey, band, and what the data are.
    """

    ccd: int
    mag: FloatArray
    err_mag: FloatArray
    count: IntArray
    grid: PixelGrid
    season: int | None = None
    visit: str | None = None
    levels: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        read_only(self)

    @property
    def factor(self) -> FloatArray:
        """What pixel values are multiplied by, shape (ny, nx): ``10**(-0.4 mag)``."""
        return np.asarray(10 ** (-0.4 * self.mag))

    @property
    def factor_err(self) -> FloatArray:
        """Its error, shape (ny, nx)."""
        return np.asarray(_RELATIVE * self.factor * self.err_mag)

    def at(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the correction at positions on the CCD (FITS convention), in mag, shape (n,).

        It is that of the square of pixels that holds the position, or of the nearest.
        """
        ny, nx = self.grid.size
        column, row = (
            np.clip(np.floor((np.asarray(at) - 0.5) / self.grid.binning).astype(np.int64), 0, n - 1)
            for at, n in ((x, nx), (y, ny))
        )
        return np.asarray(self.mag[row, column])

    def hdus(self, kind: Kind = "mag") -> HDUList:
        """Return the flat, its error and the counts as extensions of a FITS file."""
        from astropy.io import fits  # noqa: PLC0415 - slow to import

        check_kind(kind)
        values = {"mag": (self.mag, self.err_mag), "factor": (self.factor, self.factor_err)}[kind]
        name = f"CCD{self.ccd:02d}"
        made = [
            fits.ImageHDU(np.asarray(image, dtype=np.float32), self._header(what, kind), name=each)
            for image, each, what in zip(
                values,
                (name, f"{name}_ERR"),
                ("star flat", "error of the star flat"),
                strict=True,
            )
        ]
        counts = self.count.astype(np.int32)
        made.append(fits.ImageHDU(counts, self._header("stars", ""), name=f"{name}_COUNT"))
        return fits.HDUList(made)

    def _header(self, what: str, kind: str) -> Header:
        from astropy.io import fits  # noqa: PLC0415 - slow to import

        header = fits.Header()
        header["CCDNUM"] = (self.ccd, "number of the CCD")
        if kind:
            unit = "mag" if kind == "mag" else ""
            header["BUNIT"] = (unit, "add to magnitudes" if unit else "multiply pixels by it")
            header["FLATTYPE"] = (kind, what)
        else:
            header["BUNIT"] = ("count", "calibration stars in each square")
        if self.season is not None:
            header["SEASON"] = (self.season, "year in whose October it begins")
        if self.visit is not None:
            header["VISIT"] = self.visit
        side = self.grid.binning
        header["BINNING"] = (side, "side of a value's square in pixels")
        # Physical pixel p of the detector lies at image pixel LTM p + LTV.
        for axis in (1, 2):
            header[f"LTM{axis}_{axis}"] = 1 / side
            header[f"LTV{axis}"] = 0.5 - 0.5 / side
        return header

    def _repr_html_(self) -> str:
        """Return the flat in a sentence, for notebooks."""
        return f"<p>{self!r}</p>"

    def __repr__(self) -> str:
        ny, nx = self.grid.size
        of = "" if self.season is None else f", season {self.season}"
        of += "" if self.visit is None else f", visit {self.visit}"
        known = self.mag[np.isfinite(self.mag)]
        rms = 1000 * float(np.std(known)) if known.size else float("nan")
        return f"<StarFlat CCD {self.ccd}{of}: {nx} x {ny} values, rms {rms:.1f} mmag>"


def check_kind(kind: str) -> None:
    """Raise ConfigError if a star flat is of no known kind."""
    if kind not in KINDS:
        raise ConfigError(f'the kind of a star flat is "{kind}"; expected {" or ".join(KINDS)}')


@dataclass(frozen=True)
class FlatLevels:
    """The levels of a run that vary over a detector, by what they depend on besides."""

    #: The same in all visits.
    static: tuple[SolvedLevel, ...]
    by_season: tuple[SolvedLevel, ...]
    by_visit: tuple[SolvedLevel, ...]
    #: Columns that each reads, by name.
    reads: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, products: RunProducts, registry: Registry) -> FlatLevels:
        """Sort the levels that are added to magnitudes of a run.

        Raises DataError if one depends on what no pixel has, such as a colour.
        """
        reads = columns_read(products.survey, registry)
        joint = products.solution.exposures is not None
        found: dict[str, list[SolvedLevel]] = {"static": [], "season": [], "visit": []}
        for level in products.solution.levels:
            varies = level.applied if joint else level.fitted.within_exposure
            if not varies or level.fitted.role != "correction":
                continue
            name = level.fitted.name
            columns = set(reads[name])
            strange = sorted(columns - _ALWAYS - _SEASON - _OF_VISIT)
            if strange:
                raise DataError(
                    f"the level {name} depends on {', '.join(strange)}, which differs from star to"
                    " star: no image can be corrected for it; use `correct` on detections"
                )
            which = "visit" if columns & _OF_VISIT else "season" if columns & _SEASON else "static"
            found[which].append(level)
        groups = {name: tuple(levels) for name, levels in found.items()}
        return cls(groups["static"], groups["season"], groups["visit"], reads)

    def seasons(self) -> tuple[int, ...]:
        """Return the seasons that maps are apart by, ascending; none where they are not."""
        found: set[int] = set()
        for level in self.by_season:
            found |= set(level.fitted.labels().column("season").to_pylist())
        return tuple(sorted(found))

    def visits(self) -> tuple[str, ...] | None:
        """Return the visits with terms of their own, sorted; None if all may have."""
        found: set[str] = set()
        for level in self.by_visit:
            labels = level.fitted.labels()
            if "visit" not in labels.column_names:
                return None
            found |= set(labels.column("visit").to_pylist())
        return tuple(sorted(found))


@dataclass(frozen=True)
class StarFlats:
    """The star flats of a run; what all have in common is looked up once."""

    products: RunProducts
    data: RunData
    registry: Registry

    @cached_property
    def levels(self) -> FlatLevels:
        """The levels that vary over a detector."""
        return FlatLevels.of(self.products, self.registry)

    @cached_property
    def stars(self) -> RowsByExposure:
        """Where the detections of each exposure stand."""
        return RowsByExposure.of(self.data)

    def flat(
        self,
        ccd: int,
        *,
        season: int | None = None,
        visit: str | None = None,
        binning: int = 1,
        shape: tuple[int, int] | None = None,
    ) -> StarFlat:
        """Return the star flat of a CCD; see `scrframe.FinishedRun.star_flat`."""
        data, levels = self.data, self.levels
        if ccd not in data.ccds:
            known = ", ".join(map(str, data.ccds[:40]))
            raise DataError(f"{self.products.path}: the run knows no CCD {ccd}; there are {known}")
        row = None if visit is None else _visit_row(self.products, data, visit)
        season = _season_of(self.products, data, levels, season, row)
        by_visit = levels.by_visit if row is not None else ()
        chosen = [*levels.static, *levels.by_season, *by_visit]
        grid = PixelGrid(shape or detector_shape(data, ccd), binning)
        names = tuple(level.fitted.name for level in chosen)
        wanted = {name for each in names for name in levels.reads[each]}
        rows = _Rows(data, self.stars, ccd, row, season, wanted)
        joint = self.products.solution.exposures is not None
        mag, squares = np.zeros(grid.size), np.zeros(grid.size)
        for part, x, y in grid.pieces() if chosen else ():
            detections = rows.of_pixels(x, y)
            for level in chosen:
                found = _values(level, detections, joint)
                mag[part] += found[0].reshape(mag[part].shape)
                squares[part] += found[1].reshape(mag[part].shape) ** 2
        left_out = () if row is not None else tuple(each.fitted.name for each in levels.by_visit)
        return StarFlat(
            int(ccd),
            mag,
            np.sqrt(squares),
            rows.counts(grid),
            grid,
            season,
            visit,
            names,
            left_out,
            {"survey": data.survey, "band": data.band, "data_note": data.note},
        )


def _values(
    level: SolvedLevel, detections: Detections, joint: bool
) -> tuple[FloatArray, FloatArray]:
    """Return offsets and errors of a level; in mode sequential NaN where it has none."""
    design = level.fitted.design(detections)
    found = map_part(design, level.offsets)
    if joint:
        return found.offset_mag, found.err_mag
    empty = np.diff(design.weights.indptr) == 0
    return tuple(np.where(empty, np.nan, each) for each in (found.offset_mag, found.err_mag))  # type: ignore[return-value]


@dataclass(frozen=True)
class _Rows:
    """Pixels of a CCD as detections, in a visit, or of a season."""

    data: RunData
    stars: RowsByExposure
    ccd: int
    visit: int | None
    season: int | None
    wanted: set[str]

    @cached_property
    def _places(self) -> SkyPlaces:
        assert self.visit is not None
        return SkyPlaces.of(self.data, self.stars, self.ccd, self.visit)

    def of_pixels(self, x: FloatArray, y: FloatArray) -> Detections:
        columns: dict[str, Any] = {"ccd": np.full(len(x), self.ccd), "x": x, "y": y}
        if self.visit is None:
            if self.season is not None:
                columns["season"] = np.full(len(x), self.season, dtype=np.int32)
        elif self.wanted & {"ra", "dec", "gal_l", "gal_b"}:
            columns["ra"], columns["dec"] = self._places.of_pixels(x, y)
        code = np.full(len(x), -1 if self.visit is None else self.visit, dtype=np.int64)
        return detections_of(columns, code, self.data, self.wanted)

    def counts(self, grid: PixelGrid) -> IntArray:
        data = self.data
        rows = self.stars.of_ccd(self.ccd, self.visit)
        rows = rows[data.in_solve[rows]]
        if self.visit is None and self.season is not None:
            rows = rows[data.visit_table.season[data.visit_code[rows]] == self.season]
        return grid.counts(data.star("x_pix")[rows], data.star("y_pix")[rows])


def _visit_row(products: RunProducts, data: RunData, visit: str) -> int:
    if visit not in data.visits:
        near = did_you_mean(visit, data.visits)
        raise DataError(f"{products.path}: the run knows no visit {visit}{near}")
    return data.visits.index(visit)


def _season_of(
    products: RunProducts, data: RunData, levels: FlatLevels, season: int | None, row: int | None
) -> int | None:
    """Return the season of a flat: the visit's, or that given, or the only one there is."""
    if row is not None:
        own = int(data.visit_table.season[row])
        return own if own >= 0 else None
    known = levels.seasons()
    every: Sequence[int] = sorted({*known, *data.visit_table.season.tolist()} - {-1})
    listed = ", ".join(map(str, every))
    if season is not None and season not in every:
        raise DataError(f"{products.path}: the run knows no season {season}; there are {listed}")
    if season is None and len(known) > 1:
        raise ConfigError(f"the maps differ from season to season: name one of {listed}")
    return known[0] if season is None and known else season
