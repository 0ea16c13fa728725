"""Checks of survey loaders."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from scrframe.errors import number_of
from scrframe.plugin import Part, SurveyLoader, file_part
from scrframe.statistics.sky import to_plane
from scrframe.tables import Detections, SimulatedVisit
from scrframe.testing import readers
from scrframe.testing.common import judge_columns, judge_same
from scrframe.testing.draws import draw_visit
from scrframe.testing.subject import (
    KindTraits,
    NotTestedError,
    Reading,
    Repeat,
    Subject,
    demand,
    take_example,
)

#: Stand-ins for missing magnitudes, in absolute value.
STAND_INS = (88.0, 99.0, 99.9, 99.99, 99.999, 999.0, 999.9, 999.99, 9999.0, 99999.0)
#: Scales of detectors in arcsec per pixel, from the sharpest cameras to the coarsest.
SCALES = (0.01, 60.0)
#: How far the scale of the example may be from the camera's.
SCALE_TOLERANCE = 0.2
#: What float32 does to a magnitude and to a flux: 20 mag hold 1e-6, headers five decimals.
MAG_TOLERANCE = 2e-5
#: Float32 radians hold 0.05 arcsec, pixels of a large detector 0.0003.
SKY_TOLERANCE_DEG, PIX_TOLERANCE = 1e-4, 0.01
#: Values in the units of the vocabulary, and what to do about others.
RANGES = {
    "ra": (0, 360, "give degrees from 0 to 360"),
    "dec": (-90, 90, "give degrees"),
    "mjd": (15000, 100000, "give the modified Julian date (JD - 2400000.5)"),
    "mag": (-10, 40, "give magnitudes, -2.5 log10(flux) + zero point, not fluxes"),
    "mag_err": (1e-7, 30, "give errors in mag, 1.0857 flux error / flux, above 0"),
    "airmass": (0.99, 45, "airmass is 1 or more"),
    "seeing": (0.05, 60, "give the seeing in arcsec, not in pixels or degrees"),
    "exposure_time": (1e-3, 1e6, "give seconds"),
}


def written(subject: Subject) -> Path:
    """Write the example survey, or a simulated one, and return its folder."""
    loader, root = subject.descriptor, subject.folder("survey")
    if loader.example is not None:
        take_example(subject, root)
        return root
    demand(
        loader.write_simulated is not None and loader.camera is not None,
        "the descriptor has no `example`: add a function (directory) -> config that writes a tiny"
        " survey of two visits, without which nothing can be checked",
    )
    _simulate(subject, root)
    return root


def loader_of(subject: Subject) -> SurveyLoader:
    """Return the loader with the columns that it has with the settings."""
    loader: SurveyLoader = subject.descriptor.with_settings(subject.config)
    return loader


def _tables(subject: Subject, *, judge: bool = False) -> list[Detections]:
    parts = readers.parts_of(subject)
    return subject.once("detections", lambda: [_read(subject, part) for part in parts], judge=judge)


def _read(subject: Subject, part: Part, columns: Any = None) -> Detections:
    table: Detections = subject.descriptor.read(part, subject.config, columns)
    readers.judge_kind(table, Detections, "read")
    return table


def _repeat(subject: Subject) -> Iterator[Repeat]:
    for part, table in zip(readers.parts_of(subject), _tables(subject), strict=True):
        yield readers.read_again(table, _read(subject, part), "a part is")


def _readings(subject: Subject) -> Iterator[Reading]:
    loader, config = subject.descriptor, subject.config
    yield Reading("read", "parts", lambda part: loader.read(part, config, None))
    if loader.check is not None:
        yield Reading("check", "parts", lambda part: loader.check(part, config))


TRAITS = KindTraits(repeat=_repeat, write=written, finders=("parts",), readings=_readings)


def check_schema(subject: Subject) -> None:
    """Check that every promised column is delivered, in its type, and rows are numbered."""
    tables = _tables(subject, judge=True)
    loader = loader_of(subject)
    judge_columns(loader.columns, ("detection",))
    for table in tables:
        demand(len(table), "`read` delivers no detection of the example: return every row")
        readers.judge_delivered(table, loader.columns, loader.own_columns, "read")
        demand(
            all(table.codes("visit")[1]),
            "`visit` is an empty text in some rows: give every detection the key of its visit",
        )
        places = np.stack([table.codes("file")[0], table["extension"], table["row"]], axis=1)
        demand(
            len(np.unique(places, axis=0)) == len(places) and table["row"].min() >= 0,
            "two detections have the same file, extension and row: number the rows of each table"
            " from 0, so that a writer finds them again",
        )


def check_finite(subject: Subject) -> None:
    """Check that places and times are finite; a missing magnitude is NaN and no stand-in."""
    for table in _tables(subject):
        for name in ("ra", "dec", "mjd"):
            bad = ~np.isfinite(table[name])
            demand(
                not bad.any(),
                f"{name} is not finite in {number_of(bad.sum(), 'row')}: every detection has a"
                " place and a time; raise a DataError where a file lacks them",
            )
        for name in ("mag", "mag_err", "x", "y"):
            values = table[name]
            demand(
                not np.isinf(values).any(),
                f"{name} is infinite in {number_of(np.isinf(values).sum(), 'row')}: make it NaN (a"
                " flux that is not positive has no magnitude)",
            )
            standing = np.isin(np.abs(values), STAND_INS)
            demand(
                name[0] != "m" or not standing.any(),
                f"{name} is {values[standing][0] if standing.any() else 0:g} in"
                f" {number_of(standing.sum(), 'row')}, a stand-in for a missing value: make it NaN",
            )
        known = np.isfinite(table["mag"])
        demand(known.any(), "no detection of the example has a magnitude: check how it is made")
        demand(
            np.isfinite(table["mag_err"][known]).all(),
            "some detections have a magnitude but no error: make both NaN",
        )


def check_units(subject: Subject) -> None:
    """Check that values are in the units of the vocabulary, and consistent with each other."""
    for table in _tables(subject):
        readers.judge_ranges(table, RANGES)
        error = np.nanmedian(table["mag_err"])
        demand(
            error < 1,
            f"the median mag_err is {error:.3g} mag: errors are as large as magnitudes; convert"
            " flux errors with 1.0857 flux error / flux",
        )
        _check_scale(subject, table)


def _check_scale(subject: Subject, table: Detections) -> None:
    """Demand that positions on the sky and on the detectors fit each other."""
    camera = subject.descriptor.camera_for(subject.config)
    low, high = SCALES
    if camera is not None:
        low, high = (camera.pixel_scale_arcsec * (1 + s * SCALE_TOLERANCE) for s in (-1, 1))
    groups = np.unique(
        np.stack([table.codes("visit")[0], table["ccd"]], axis=1), axis=0, return_inverse=True
    )[1]
    for number in np.unique(groups):
        rows = np.flatnonzero(groups == number)
        found = _fitted_scale(*(table[name][rows] for name in ("ra", "dec", "x", "y")))
        if found is None:
            continue
        scale, scatter = found
        demand(
            low < scale < high,
            f"ra and dec change by {scale:.3g} arcsec for each pixel of x and y, expected"
            f" {low:.3g} to {high:.3g}: is ra or dec in radians or hours, or x and y no pixels?",
        )
        demand(
            scatter < 0.1,
            "positions on the sky and on the detector do not belong together: x, y, ra and dec of"
            " one row must be those of one detection; check the order of rows and the key `ccd`",
        )


def _fitted_scale(
    ra: npt.NDArray[Any], dec: npt.NDArray[Any], x: npt.NDArray[Any], y: npt.NDArray[Any]
) -> tuple[float, float] | None:
    """Return arcsec per pixel and the relative scatter about a linear map; None if untold."""
    known = np.isfinite(x) & np.isfinite(y)
    # Four rows are the fewest that contradict a linear map.
    if known.sum() < 4 or min(np.ptp(x[known]), np.ptp(y[known])) < 10:
        return None
    ra, dec = ra[known], dec[known]
    sky = 3600 * np.stack(to_plane(ra, dec, ra[0], dec[0]), axis=1)
    design = np.stack([x[known], y[known], np.ones(known.sum())], axis=1)
    design[:, :2] -= design[:, :2].mean(axis=0)
    fit = np.linalg.lstsq(design, sky, rcond=None)[0]
    scatter = np.std(sky - design @ fit)
    spread = np.std(sky - sky.mean(axis=0))
    scale = (
        np.sqrt(abs(np.linalg.det(fit[:2])))
        if scatter < 0.1 * spread
        else spread / np.std(design[:, :2])
    )
    return float(scale), float(scatter / spread) if spread > 0 else 0.0


def check_visit_key(subject: Subject) -> None:
    """Check that the key of a visit comes from the content, not from the name of the file."""
    part = readers.parts_of(subject)[0]
    path = Path(part.path)
    if not path.is_file():
        raise NotTestedError(f"{part.key} is no file")
    before = set(np.unique(_tables(subject)[0]["visit"]).tolist())
    other = path.with_name("renamed_" + path.name)
    shutil.copy2(path, other)
    try:
        renamed = _read(subject, file_part(other, "renamed_" + part.key))
    finally:
        other.unlink()
    after = set(np.unique(renamed["visit"]).tolist())
    demand(
        before <= after,
        f"the visit {sorted(before - after)[:1]} has another key when its file has another name:"
        " make the key from the content (a field and a date), by which `scrframe apply` finds it",
    )


def check_columns_subset(subject: Subject) -> None:
    """Check that reading fewer columns, or the parts in another order, changes no value."""
    advice = "the values must not depend on which columns or parts are read"
    loader = loader_of(subject)
    optional = [name for name in loader.columns if name not in Detections.required]
    optional += [column.name for column in loader.own_columns]
    pairs = list(zip(readers.parts_of(subject), _tables(subject), strict=True))
    for part, whole in reversed(pairs):
        for chosen in ([], optional[:1], optional[-1:]):
            some = _read(subject, part, tuple(chosen))
            wanted = {*Detections.required, *chosen}
            demand(
                wanted == set(some.names),
                f"`read` with columns={chosen} delivers"
                f" {', '.join(sorted(set(some.names) ^ wanted))} too many or too few: deliver the"
                " required columns and those named, for memory is counted on it",
            )
            names = [name for name in whole.names if name in wanted]
            first, second = (readers.columns_of(table.select(names)) for table in (whole, some))
            judge_same(first, second, f"when columns={chosen} are read", advice)


def check_rows_in_memory(subject: Subject) -> None:
    """Check that rows in memory are read as they are read in a file."""
    loader, root = subject.descriptor, readers.root_of(subject)
    if loader.read_rows is None:
        raise NotTestedError("the loader has no `read_rows`")
    files = [part for part in readers.parts_of(subject) if part.path.suffix == ".parquet"]
    if not files:
        raise NotTestedError("the example has no Parquet file, whose rows would be those in memory")
    part = files[0]
    whole = _read(subject, file_part(part.path, part.key))
    rows = loader.read_rows(pq.read_table(part.path), subject.config, None, root)
    readers.judge_kind(rows, Detections, "read_rows")
    first, second = (readers.columns_of(table) for table in (whole, rows))
    for columns in (first, second):
        columns.pop("column 'file'", None)  # rows in memory are in none
    judge_same(first, second, "when rows are in memory", "`read_rows` and `read` must agree")


def _simulate(subject: Subject, root: Path) -> list[SimulatedVisit]:
    """Write two visits in the survey's own format and return them."""
    loader, config = subject.descriptor, subject.config
    camera = loader.camera_for(config)
    if camera is None:
        raise NotTestedError("the loader has no `camera` with these settings")
    band = getattr(config, "band", "u")
    visits = [draw_visit(camera, number, band) for number in (1, 2)]
    for visit in visits:
        loader.write_simulated(visit, root, config)
    if loader.close_simulated is not None:
        loader.close_simulated(root, config)
    return visits


def check_round_trip(subject: Subject) -> None:
    """Check that magnitudes simulated in the survey's own format are read back."""
    loader = subject.descriptor
    if loader.write_simulated is None:
        raise NotTestedError("the loader has no `write_simulated`")
    readers.root_of(subject)  # makes the settings
    root = subject.folder("simulated")
    visits = {visit.number: visit for visit in _simulate(subject, root)}
    tables = [_read(subject, part) for part in loader.parts(subject.config, root)]
    table = Detections.concat(tables)
    demand(
        len(table.codes("visit")[1]) == len(visits),
        f"two simulated visits are read as {len(table.codes('visit')[1])}: the keys of visits must"
        " tell them apart",
    )
    for visit in visits.values():
        rows = np.flatnonzero(np.abs(table["mjd"] - visit.mjd) < 1.0)
        demand(
            len(rows) == len(visit.detections),
            f"{len(visit.detections)} simulated detections of mjd {visit.mjd} are read as"
            f" {len(rows)}: return every row, also one without a magnitude, and check `mjd`",
        )
        _compare_visit(table.take(rows), visit.detections)


def _compare_visit(read: Detections, written: Any) -> None:
    order = np.lexsort((read["row"], read["ccd"]))
    for name, tolerance in (
        ("ccd", 0.0),
        ("x", PIX_TOLERANCE),
        ("y", PIX_TOLERANCE),
        ("dec", SKY_TOLERANCE_DEG),
        ("ra", SKY_TOLERANCE_DEG),
        ("mag", MAG_TOLERANCE),
    ):
        truth = np.asarray(written[name], dtype=np.float64)
        given = np.asarray(read[name], dtype=np.float64)[order]
        demand(
            np.array_equal(np.isnan(truth), np.isnan(given)),
            f"{name} of simulated detections is missing in other rows than it was written: a"
            " missing magnitude is written so that it is read as NaN, and rows keep their order",
        )
        worst = np.nanmax(np.abs(given - truth))
        demand(
            worst <= tolerance,
            f"{name} of simulated detections is read back off by up to {worst:.3g} (at most"
            f" {tolerance:g} is rounding): `write_simulated` and `read` must be inverses, in zero"
            " points, units and order",
        )
