"""Write what images take from a run: FITS star flats, ``.head`` files, and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from scrframe.errors import ConfigError
from scrframe.export.star_flats import FlatLevels, Kind, StarFlats, check_kind
from scrframe.export.zero_points import zero_point_table
from scrframe.io import format_of_name
from scrframe.io.votable import write_votable
from scrframe.observer import Observer
from scrframe.plugin import Registry
from scrframe.products.columns import ProductColumn, arrow_table, ecsv_table
from scrframe.products.files import replacing, writable, write_ecsv, write_parquet, write_text
from scrframe.products.finished_run import RunProducts
from scrframe.products.run_data import RunData
from scrframe.version import __version__

#: Side of a star flat's squares in pixels, by default.
BINNING = 16
#: Table of the headers, in their folder.
HEADERS = "headers.ecsv"
#: Formats of the table of zero points, and how astropy calls them.
_FORMATS = {"ecsv": "ascii.ecsv", "fits": "fits", "csv": "ascii.csv"}
_C = ProductColumn
_HEADER_COLUMNS = (
    _C("file", "", "string", "name of the .head file"),
    _C("visit", "", "string", "key of the visit"),
    _C("ccd", "", "int64", "number of the detector"),
    _C("extension", "", "int64", "block of the file that is its, from 1"),
    _C("MAGZP", "mag", "float64", "magnitude of one count: image zero point and correction"),
    _C("MAGZPERR", "mag", "float64", "its error"),
    _C("MAGZPSYS", "mag", "float64", "what systematic effects can shift it by"),
    _C("FLXSCALE", "", "float64", "factor of pixel values"),
    _C("level", "", "string", "where the offset comes from"),
)


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    star_flats : tuple of Path
        FITS files, by season where maps differ by season, and by visit where visits have terms
        of their own over the focal plane.
    headers : tuple of Path
        ``.head`` files, one a visit, and their table, the last.
    zero_points : Path or None
    """

    star_flats: tuple[Path, ...] = ()
    headers: tuple[Path, ...] = ()
    zero_points: Path | None = None


def export_run(
    products: RunProducts,
    data: RunData,
    registry: Registry,
    *,
    star_flats: str | Path | None = None,
    headers: str | Path | None = None,
    zero_points: str | Path | None = None,
    binning: int = BINNING,
    kind: Kind = "factor",
    image_zero_point: float = 0.0,
    observer: Observer | None = None,
) -> Exported:
    """Write what is asked for; see `scrframe.FinishedRun.export`.

    Raises ConfigError if nothing is, or it cannot be written, and DataError if a level cannot be
    evaluated at pixels.
    """
    if star_flats is None and headers is None and zero_points is None:
        raise ConfigError("nothing to export: name a place for star flats, headers or zero points")
    check_kind(kind)
    said = _said(products)
    table = _table(products, data, registry, said)
    written: dict[str, Any] = {}
    if zero_points is not None:
        written["zero_points"] = _write_zero_points(Path(zero_points), table)
    if headers is not None:
        written["headers"] = _write_headers(Path(headers), table, data, image_zero_point, said)
    if star_flats is not None:
        flats = _Flats(StarFlats(products, data, registry), Path(star_flats), kind, binning)
        written["star_flats"] = flats.write(observer or Observer())
    return Exported(**written)


def _said(products: RunProducts) -> dict[str, str]:
    survey, colour = products.survey, products.solution.colour
    return {
        "scrframe_version": __version__,
        "run": str(products.path),
        "survey": survey.name,
        "band": survey.band,
        "magnitude_system": products.solution.system,
        **({} if colour is None else {"reference_colour_mag": f"{colour.reference_mag:.3f}"}),
        "data_note": products.note,
    }


def _table(
    products: RunProducts, data: RunData, registry: Registry, said: Mapping[str, str]
) -> Table:
    columns, values = zero_point_table(products, data, registry, None)
    return ecsv_table(columns, values, said)


def _write_zero_points(path: Path, table: Table) -> Path:
    kind = format_of_name(path.name)
    if kind not in {*_FORMATS, "votable", "parquet"}:
        raise ConfigError(
            f"{path}: the name of the table must end in .ecsv, .fits, .csv, .vot or .parquet"
        )
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "parquet":
            columns = [
                ProductColumn(
                    name,
                    str(table[name].unit or ""),
                    "text" if table[name].dtype.kind == "U" else str(table[name].dtype),  # type: ignore[arg-type]
                    table[name].description,
                )
                for name in table.colnames
            ]
            rows = {name: np.asarray(table[name]) for name in table.colnames}
            write_parquet(path, arrow_table(columns, rows), table.meta)
        else:
            if kind == "fits":  # whose keywords have eight letters at most
                short = {"magnitude_system": "MAGSYS", "data_note": "SCRNOTE"}
                short["reference_colour_mag"] = "REFCOL"
                table.meta = {short.get(k, k[:8].upper()): _ascii(v) for k, v in table.meta.items()}
            with replacing(path) as temporary:
                if kind == "votable":
                    write_votable(table, str(temporary))
                else:
                    table.write(temporary, format=_FORMATS[str(kind)], overwrite=True)
    return path


def _write_headers(
    folder: Path, table: Table, data: RunData, image_zero_point: float, said: Mapping[str, str]
) -> tuple[Path, ...]:
    """Write a file for each visit, with a block for each CCD, ascending, and their table."""
    names = file_names([str(key) for key in data.visits])
    rows: list[dict[str, Any]] = []
    written = []
    of_visit: dict[str, dict[int, Any]] = {}
    for row in table:
        of_visit.setdefault(str(row["visit"]), {})[int(row["ccd"])] = row
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for visit, name in zip(data.visits, names, strict=True):
            blocks = []
            for number, ccd in enumerate(data.ccds.tolist(), start=1):
                row = of_visit.get(visit, {}).get(ccd)
                if row is not None and np.isfinite(row["zero_point"]):
                    rows.append(_header_row(row, f"{name}.head", number, image_zero_point))
                    blocks.append(_header(visit, ccd, rows[-1], said))
                else:
                    blocks.append(_header(visit, ccd, None, said))
            written.append(folder / f"{name}.head")
            write_text(written[-1], "".join(blocks))
        values = {column.name: [row[column.name] for row in rows] for column in _HEADER_COLUMNS}
        meta = {**said, "image_zero_point": image_zero_point}
        written.append(folder / HEADERS)
        write_ecsv(ecsv_table(_HEADER_COLUMNS, values, meta), written[-1])
    return tuple(written)


def _header_row(row: Any, file: str, extension: int, image_zero_point: float) -> dict[str, Any]:
    return {
        "file": file,
        "visit": str(row["visit"]),
        "ccd": int(row["ccd"]),
        "extension": extension,
        "MAGZP": image_zero_point + float(row["zero_point"]),
        "MAGZPERR": float(row["zero_point_err"]),
        "MAGZPSYS": float(row["zero_point_sys"]),
        "FLXSCALE": float(row["flux_scale"]),
        "level": str(row["level"]),
    }


def _header(visit: str, ccd: int, row: Mapping[str, Any] | None, said: Mapping[str, str]) -> str:
    """Return a block of cards as SCAMP writes them: a line each, the last END."""
    header = fits.Header()
    header["HISTORY"] = f"scrframe {said['scrframe_version']}, {said['survey']} {said['band']}"
    header["COMMENT"] = _ascii(f"visit {visit}, CCD {ccd}, system: {said['magnitude_system']}")
    if said["data_note"]:
        header["COMMENT"] = _ascii(said["data_note"])
    if row is None:
        header["COMMENT"] = "no correction is known"
    else:
        header["FLXSCALE"] = (row["FLXSCALE"], "factor of pixel values")
        header["MAGZP"] = (row["MAGZP"], "[mag] magnitude of one count")
        for name, about in (("MAGZPERR", "[mag] its error"), ("MAGZPSYS", "[mag] systematic")):
            if np.isfinite(row[name]):  # FITS has no NaN
                header[name] = (row[name], about)
        header["PHOTLEV"] = (row["level"], "where the offset comes from")
    return "".join(f"{str(card).rstrip()}\n" for card in header.cards) + "END     \n"


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()


def file_names(visits: Sequence[str]) -> list[str]:
    """Return a name of a file for each visit: its key, with signs that files may not have as _."""
    taken: set[str] = set()
    names = []
    for visit in visits:
        plain = re.sub(r"[^A-Za-z0-9._+-]", "_", visit).lstrip(".") or "_"
        name, number = plain, 1
        while name in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name)
        names.append(name)
    return names


@dataclass(frozen=True)
class _Flats:
    """The star flats of a run, on their way to files."""

    flats: StarFlats
    folder: Path
    kind: Kind
    binning: int

    def write(self, observer: Observer) -> tuple[Path, ...]:
        """Write a file for each season that maps know, and for each visit with own terms."""
        levels = self.flats.levels
        wanted = list(self._wanted(levels))
        with writable(self.folder), observer.step("Writing star flats", len(wanted)) as done:
            paths = []
            for name, which in wanted:
                path = self.folder / f"{name}.fits"
                path.parent.mkdir(parents=True, exist_ok=True)
                self._write(path, which)
                paths.append(path)
                done(1)
        return tuple(paths)

    def _wanted(self, levels: FlatLevels) -> Iterator[tuple[str, dict[str, Any]]]:
        seasons = levels.seasons()
        for season in seasons:
            yield f"star_flat_{season}", {"season": season}
        if not seasons:
            yield "star_flat", {}
        if levels.by_visit:
            known = levels.visits()
            names = file_names(self.flats.data.visits)
            for visit, name in zip(self.flats.data.visits, names, strict=True):
                if known is None or visit in known:
                    yield f"visits/{name}", {"visit": visit}

    def _write(self, path: Path, which: Mapping[str, Any]) -> None:
        primary = fits.PrimaryHDU()
        for key, value in (("SURVEY", "survey"), ("BAND", "band"), ("MAGSYS", "magnitude_system")):
            primary.header[key] = _ascii(_said(self.flats.products)[value])
        colour = self.flats.products.solution.colour
        if colour is not None:
            primary.header["REFCOL"] = (colour.reference_mag, "[mag] colour at which it holds")
        primary.header["ORIGIN"] = f"scrframe {__version__}"
        if self.flats.data.note:
            primary.header["SCRNOTE"] = _ascii(self.flats.data.note)
        levels = self.flats.levels
        inside = [*levels.static, *levels.by_season, *(levels.by_visit if "visit" in which else ())]
        names = ", ".join(level.fitted.name for level in inside) or "none"
        primary.header["HISTORY"] = f"levels: {names}"
        if levels.by_visit and "visit" not in which:
            others = ", ".join(level.fitted.name for level in levels.by_visit)
            primary.header["HISTORY"] = f"by visit, not in it: {others}"
        with replacing(path) as temporary:
            primary.writeto(temporary, overwrite=True)
            # One CCD at a time: all of a large camera, pixel by pixel, are gigabytes.
            for ccd in self.flats.data.ccds.tolist():
                flat = self.flats.flat(ccd, binning=self.binning, **which)
                for hdu in flat.hdus(self.kind):
                    fits.append(temporary, hdu.data, hdu.header, verify=False)
