"""Checks of reference catalogues."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from scrframe.arrays import IntArray
from scrframe.errors import number_of
from scrframe.tables import ColumnTable, Footprint, ReferenceStars
from scrframe.testing import readers
from scrframe.testing.common import NOT_DERIVED, judge_columns, judge_same
from scrframe.testing.draws import draw_stars
from scrframe.testing.subject import KindTraits, NotTestedError, Reading, Repeat, Subject, demand

T = TypeVar("T", bound=ColumnTable)

#: Radius of the footprint that is asked for, in degrees.
RADIUS_DEG = 0.1
#: A catalogue that is not a catalogue of spectra may hold some of the simulated stars only.
LEAST_READ = 0.25
#: Values in the units of the vocabulary, and what to do about others.
RANGES = {
    "ref_ra": (0, 360, "give degrees from 0 to 360"),
    "ref_dec": (-90, 90, "give degrees"),
    "ref_epoch": (1900, 2100, "give a Julian year such as 2016.0"),
    "pmra": (-11000, 11000, "give mas / yr"),
    "pmdec": (-11000, 11000, "give mas / yr"),
    "reference_mag": (-10, 40, "give magnitudes, not fluxes"),
    "reference_mag_err": (1e-7, 10, "give errors in mag, above 0; NaN where unknown"),
}


def _write(subject: Subject) -> Path:
    """Write simulated stars, or the example, and return the folder."""
    catalogue, root = subject.descriptor, subject.folder("stars")
    if catalogue.write_simulated is None:
        readers.example_of(subject, root)
        return root
    if catalogue.example is not None:
        readers.example_of(subject, subject.folder("example"))
    catalogue.write_simulated(draw_stars(), root, "parquet")
    return root


def _read_stars(subject: Subject, footprint: Footprint | None = None) -> ReferenceStars:
    read, config = subject.descriptor.read_sources, subject.config
    tables = [
        read(part, config, footprint, ()) for part in readers.parts_of(subject, "source_parts")
    ]
    for table in tables:
        readers.judge_kind(table, ReferenceStars, "read_sources")
    return by_star(ReferenceStars.concat(tables))


def by_star(table: T) -> T:
    """Return a table in the order of its stars' identifiers."""
    return table.take(np.argsort(table["source_id"], kind="stable"))


def _stars(subject: Subject, *, judge: bool = False) -> ReferenceStars:
    return subject.once("stars", lambda: _read_stars(subject), judge=judge)


def _read_features(subject: Subject, stars: ReferenceStars) -> dict[str, Any]:
    """Return the features of stars as arrays by name, ordered by source_id."""
    read, config = subject.descriptor.read_features, subject.config
    tables = [read(part, config, stars, ()) for part in readers.parts_of(subject, "feature_parts")]
    tables = [table for table in tables if len(table)]
    demand(tables, "`read_features` returns nothing for the stars that `read_sources` read")
    joined = type(tables[0]).concat(tables)
    joined = joined.take(np.argsort(joined.source_id, kind="stable"))
    return {name: value for name, value in vars(joined).items() if isinstance(value, np.ndarray)}


def _features(subject: Subject, *, judge: bool = False) -> dict[str, Any]:
    stars = _stars(subject)
    return subject.once("features", lambda: _read_features(subject, stars), judge=judge)


def _repeat(subject: Subject) -> Iterator[Repeat]:
    stars, advice = _stars(subject), readers.SAME_AGAIN
    yield readers.read_again(stars, _read_stars(subject), "stars are")
    again = _read_features(subject, stars)
    yield Repeat(_features(subject), again, "when stars are read again", advice)


def _readings(subject: Subject) -> Iterator[Reading]:
    catalogue, config, stars = subject.descriptor, subject.config, _stars(subject)
    yield Reading(
        "read_sources", "source_parts", lambda part: catalogue.read_sources(part, config, None, ())
    )
    yield Reading(
        "read_features",
        "feature_parts",
        lambda part: catalogue.read_features(part, config, stars, ()),
    )


TRAITS = KindTraits(
    repeat=_repeat,
    write=_write,
    finders=("source_parts", "feature_parts"),
    readings=_readings,
    finders_refuse=True,
)


def check_schema(subject: Subject) -> None:
    """Check that every promised column is delivered, and each star once."""
    catalogue = subject.descriptor
    judge_columns(catalogue.columns, ("reference", "extinction", "spectrum"))
    stars = _stars(subject, judge=True)
    demand(len(stars), "`read_sources` delivers no star of the example: check what it leaves out")
    own = [column for column in catalogue.own_columns if column.stage == "reference"]
    # The S/N comes with the features.
    promised = [name for name in catalogue.columns if name not in NOT_DERIVED]
    readers.judge_delivered(stars, promised, own, "read_sources")
    readers.judge_once(stars["source_id"], "read_sources")
    found = _features(subject, judge=True)["source_id"]
    _judge_only(found, stars["source_id"])
    readers.judge_once(found, "read_features")


def _judge_only(found: IntArray, wanted: IntArray) -> None:
    demand(
        np.isin(found, wanted).all(),
        "`read_features` delivers stars that were not asked for: return only those given",
    )


def check_finite(subject: Subject) -> None:
    """Check that positions and magnitudes of stars are finite, and so are the features."""
    stars = _stars(subject)
    for name in ("ref_ra", "ref_dec", "ref_epoch", "pmra", "pmdec", "reference_mag"):
        bad = int(np.count_nonzero(~np.isfinite(stars[name])))
        demand(
            not bad,
            f"{name} is not finite for {number_of(bad, 'star')}: leave out stars without a"
            " position or magnitude, and take an unknown proper motion as 0",
        )
    for name in {"flux", "values"} & set(_features(subject)):
        demand(
            np.isfinite(_features(subject)[name]).all(),
            f"the features hold values in {name} that are not finite: leave out stars without"
            " whole spectra",
        )


def check_units(subject: Subject) -> None:
    """Check that values are in the units of the vocabulary."""
    stars = _stars(subject)
    readers.judge_ranges(stars, RANGES)
    spread = np.hypot(np.ptp(stars["ref_ra"]), np.ptp(stars["ref_dec"]))
    demand(
        spread == 0 or stars["ref_ra"].max() > 2 * np.pi or np.ptp(stars["ref_dec"]) > 0.2,
        "ref_ra and ref_dec look like radians: give degrees",
    )
    grid = _features(subject).get("wavelength_nm")
    if grid is not None:
        demand(
            np.all(np.diff(grid) > 0) and 100 <= np.median(grid) <= 3000,
            f"wavelength_nm runs from {grid[0]:g} to {grid[-1]:g}: give ascending nm, not"
            " Angstrom or micron",
        )


def check_footprint(subject: Subject) -> None:
    """Check that only the stars in the footprint are read, and all of them."""
    stars = _stars(subject)
    centre = stars.take(np.array([len(stars) // 2]))
    footprint = Footprint(centre["ref_ra"], centre["ref_dec"], RADIUS_DEG)
    inside = footprint.contains(stars["ref_ra"], stars["ref_dec"])
    found = _read_stars(subject, footprint)
    demand(
        np.array_equal(found["source_id"], stars["source_id"][inside]),
        f"`read_sources` with a footprint delivers {len(found)} stars where"
        f" {np.count_nonzero(inside)} lie in it: keep those of footprint.contains(ra, dec), in"
        " degrees, and all stars where the footprint is None",
    )


def check_chunks(subject: Subject) -> None:
    """Check that features of some stars are the same as in the whole."""
    stars, whole = _stars(subject), _features(subject)
    half = stars.take(np.arange(0, len(stars), 2))
    some = _read_features(subject, half)
    _judge_only(some["source_id"], half["source_id"])
    rows = np.isin(whole["source_id"], half["source_id"])
    expected = {n: v if n == "wavelength_nm" else v[rows] for n, v in whole.items()}
    judge_same(expected, some, "when fewer stars are read", "treat each star by itself")


def check_round_trip(subject: Subject) -> None:
    """Check that simulated stars are read back as they were written."""
    truth, stars = written_stars(subject), _stars(subject)
    if subject.descriptor.provides == "spectra":
        demand(
            np.array_equal(stars["source_id"], truth["source_id"]),
            f"{len(truth['source_id'])} simulated stars with a spectrum are read as {len(stars)}:"
            " write and read every star that has_spectrum, and no other",
        )
    rows = rows_of(stars["source_id"], truth["source_id"])
    for name, tolerance in (("ref_ra", 1e-7), ("ref_dec", 1e-7), ("pmra", 1e-3), ("pmdec", 1e-3)):
        judge_truth(stars[name], truth[name][rows], name, tolerance)
    judge_truth(stars["reference_mag"], truth["bp_mag"][rows], "reference_mag", 1e-5)


def written_stars(subject: Subject) -> dict[str, Any]:
    """Return columns of the simulated stars that have a spectrum, by source_id."""
    if subject.descriptor.write_simulated is None:
        raise NotTestedError("the catalogue has no `write_simulated`")
    table = draw_stars().table
    table = table.filter(table["has_spectrum"])
    return {name: table[name].to_numpy() for name in table.column_names}


def rows_of(read: IntArray, written: IntArray) -> IntArray:
    """Return where the stars that are read stand among those written; demand that it is some."""
    demand(
        np.isin(read, written).all() and len(read) >= LEAST_READ * len(written),
        f"of {len(written)} simulated stars {np.isin(written, read).sum()} are read, and"
        f" {np.count_nonzero(~np.isin(read, written))} that were not written: write and read the"
        " stars that have a spectrum, under their own source_id",
    )
    return np.searchsorted(written, read)


def judge_truth(read: Any, truth: Any, name: str, tolerance: Any) -> None:
    """Demand that a column is read back as it was simulated, within a tolerance for each row."""
    off = np.abs(np.asarray(read) - np.asarray(truth))
    demand(
        (off <= tolerance).all(),
        f"{name} of simulated stars is read back off by up to {off.max():.3g}: `write_simulated`"
        " and the reader must be inverses, in units and order",
    )
