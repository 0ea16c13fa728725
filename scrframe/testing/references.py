"""Checks of reference catalogues."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.plugin import Part
from scrframe.tables import Footprint, ReferenceStars, SimulatedStars, StarFeatures
from scrframe.testing import files
from scrframe.testing.common import NOT_DERIVED, judge_columns
from scrframe.testing.draws import draw_stars
from scrframe.testing.subject import NotTestedError, Subject, demand, take_example

#: Radius of the footprint that is asked for, in degrees.
RADIUS_DEG = 0.1
#: A catalogue that is no catalogue of spectra may hold some of the simulated stars only.
LEAST_READ = 0.25


def root_of(subject: Subject, *, judge: bool = False) -> Path:
    """Return the folder of the example, which is written at the first use."""
    return subject.once(
        "an example of the data", lambda: files.remember(subject, _written(subject)), judge=judge
    )


def _written(subject: Subject) -> Path:
    catalogue, root = subject.descriptor, subject.folder("stars")
    if catalogue.write_simulated is not None:
        if catalogue.example is not None:
            example_of(subject, subject.folder("example"))
        catalogue.write_simulated(draw_stars(), root, "parquet")
        return root
    example_of(subject, root)
    return root


def example_of(subject: Subject, root: Path) -> None:
    """Write the descriptor's example and take its settings, unless others are given."""
    descriptor = subject.descriptor
    demand(
        descriptor.example is not None,
        "the descriptor has neither `write_simulated` nor `example`: add a function (directory) ->"
        " config that writes a tiny catalogue, without which nothing can be checked",
    )
    take_example(subject, root)


def check_example(subject: Subject) -> None:
    """Check that the catalogue writes simulated stars, or brings a tiny example."""
    root = root_of(subject, judge=True)
    demand(any(root.rglob("*")), "the example wrote no file: write a few stars")


def check_parts(subject: Subject) -> None:
    """Check that input is found without reading it, in a stable order, with stable keys."""
    root, catalogue = root_of(subject), subject.descriptor
    for name in ("source_parts", "feature_parts"):
        find = getattr(catalogue, name)
        make = partial(files.judge_parts, subject, name, find, root)
        subject.once(name, make, judge=True)
        files.judge_no_input(subject, name, find)


def _parts(subject: Subject, name: str) -> list[Part]:
    root, find = root_of(subject), getattr(subject.descriptor, name)
    return subject.once(name, lambda: find(subject.config, root))


def _stars(subject: Subject, footprint: Footprint | None = None) -> ReferenceStars:
    read = subject.descriptor.read_sources
    tables = [read(part, subject.config, footprint, ()) for part in _parts(subject, "source_parts")]
    for table in tables:
        demand(
            isinstance(table, ReferenceStars),
            f"`read_sources` returned a {type(table).__name__}: return"
            " scrframe.tables.ReferenceStars",
        )
    joined = ReferenceStars.concat(tables)
    return joined.take(np.argsort(joined["source_id"], kind="stable"))


def _all_stars(subject: Subject, *, judge: bool = False) -> ReferenceStars:
    return subject.once("stars", lambda: _stars(subject), judge=judge)


def _features(subject: Subject, stars: ReferenceStars) -> dict[str, Any]:
    """Return the features of stars as arrays by name, ordered by source_id."""
    read = subject.descriptor.read_features
    config, parts = subject.config, _parts(subject, "feature_parts")
    found = [_arrays(read(part, config, stars, ())) for part in parts]
    found = [item for item in found if len(item["source_id"])]
    demand(found, "`read_features` returns nothing for the stars that `read_sources` read")
    joined = {
        name: np.concatenate([item[name] for item in found])
        for name in found[0]
        if name != "wavelength_nm"
    }
    order = np.argsort(joined["source_id"], kind="stable")
    grid = {"wavelength_nm": found[0]["wavelength_nm"]} if "wavelength_nm" in found[0] else {}
    return {name: values[order] for name, values in joined.items()} | grid


def _arrays(features: StarFeatures) -> dict[str, Any]:
    return {name: value for name, value in vars(features).items() if isinstance(value, np.ndarray)}


def _all_features(subject: Subject, *, judge: bool = False) -> dict[str, Any]:
    stars = _all_stars(subject)
    return subject.once("features", lambda: _features(subject, stars), judge=judge)


def check_schema(subject: Subject) -> None:
    """Check that every promised column is delivered, and each star once."""
    catalogue = subject.descriptor
    judge_columns(catalogue.columns, ("reference", "extinction", "spectrum"))
    stars = _all_stars(subject, judge=True)
    demand(len(stars), "`read_sources` delivers no star of the example: check what it leaves out")
    own = [column.name for column in catalogue.own_columns if column.stage == "reference"]
    # The S/N comes with the features.
    promised = [name for name in (*catalogue.columns, *own) if name not in NOT_DERIVED]
    files.judge_delivered(stars, promised, "read_sources")
    demand(
        len(np.unique(stars["source_id"])) == len(stars),
        "`read_sources` delivers a star twice: each source_id has one row",
    )
    features = _all_features(subject, judge=True)
    strange = np.setdiff1d(features["source_id"], stars["source_id"])
    demand(
        not len(strange) and len(np.unique(features["source_id"])) == len(features["source_id"]),
        "`read_features` delivers stars that were not asked for, or one twice: return only the"
        " stars given, once each",
    )


def check_finite(subject: Subject) -> None:
    """Check that places and magnitudes of stars are finite, and so are the features."""
    stars = _all_stars(subject)
    for name in ("ref_ra", "ref_dec", "ref_epoch", "pmra", "pmdec", "reference_mag"):
        bad = int(np.count_nonzero(~np.isfinite(stars[name])))
        demand(
            not bad,
            f"{name} is not finite for {bad} star(s): leave out stars without a place or magnitude,"
            " and take an unknown proper motion as 0",
        )
    for name, values in _all_features(subject).items():
        if name in ("flux", "values"):
            demand(
                np.isfinite(values).all(),
                f"the features hold values in {name} that are not finite: leave out stars without"
                " whole spectra",
            )


def check_units(subject: Subject) -> None:
    """Check that values are in the units of the vocabulary."""
    stars = _all_stars(subject)
    for name, low, high, advice in (
        ("ref_ra", 0, 360, "give degrees from 0 to 360"),
        ("ref_dec", -90, 90, "give degrees"),
        ("ref_epoch", 1900, 2100, "give a Julian year such as 2016.0"),
        ("pmra", -11000, 11000, "give mas / yr"),
        ("pmdec", -11000, 11000, "give mas / yr"),
        ("reference_mag", -10, 40, "give magnitudes, not fluxes"),
        ("reference_mag_err", 1e-7, 10, "give errors in mag, above 0; NaN where unknown"),
    ):
        files.judge_range(stars[name], name, low, high, advice)
    spread = np.hypot(np.ptp(stars["ref_ra"]), np.ptp(stars["ref_dec"]))
    demand(
        spread == 0 or stars["ref_ra"].max() > 2 * np.pi or np.ptp(stars["ref_dec"]) > 0.2,
        "ref_ra and ref_dec look like radians: give degrees",
    )
    grid = _all_features(subject).get("wavelength_nm")
    if grid is not None:
        demand(
            np.all(np.diff(grid) > 0) and 100 <= np.median(grid) <= 3000,
            f"wavelength_nm runs from {grid[0]:g} to {grid[-1]:g}: give ascending nm, not"
            " Angstrom or micron",
        )


def check_footprint(subject: Subject) -> None:
    """Check that only the stars in the footprint are read, and all of them."""
    stars = _all_stars(subject)
    centre = stars.take(np.array([len(stars) // 2]))
    footprint = Footprint(centre["ref_ra"], centre["ref_dec"], RADIUS_DEG)
    inside = footprint.contains(stars["ref_ra"], stars["ref_dec"])
    found = _stars(subject, footprint)
    demand(
        np.array_equal(found["source_id"], stars["source_id"][inside]),
        f"`read_sources` with a footprint delivers {len(found)} stars where"
        f" {np.count_nonzero(inside)} lie in it: keep those of footprint.contains(ra, dec), in"
        " degrees, and all stars where the footprint is None",
    )


def check_chunks(subject: Subject) -> None:
    """Check that features of some stars are the same as in the whole."""
    stars, whole = _all_stars(subject), _all_features(subject)
    half = stars.take(np.arange(0, len(stars), 2))
    some = _features(subject, half)
    strange = np.setdiff1d(some["source_id"], half["source_id"])
    demand(
        not len(strange),
        "`read_features` delivers stars that were not asked for: return only those given",
    )
    rows = np.isin(whole["source_id"], half["source_id"])
    for name, values in whole.items():
        wanted = values if name == "wavelength_nm" else values[rows]
        demand(
            files.same_bits(wanted, some[name]),
            f"{name} of a star depends on which other stars are read with it: treat each star by"
            " itself",
        )


def check_deterministic(subject: Subject) -> None:
    """Check that reading twice gives the same bits."""
    advice = "nothing may depend on random numbers, the clock or what was read before"
    stars = _all_stars(subject)
    files.judge_same(stars, _stars(subject), "when they are read again", advice)
    again = _features(subject, stars)
    for name, values in _all_features(subject).items():
        demand(
            files.same_bits(values, again[name]),
            f"{name} of the features has other values when they are read again: {advice}",
        )


def check_input_untouched(subject: Subject) -> None:
    """Check that reading leaves the files as they are."""
    _all_features(subject)
    files.judge_untouched(subject, root_of(subject))


def check_bad_file(subject: Subject) -> None:
    """Check that a damaged file is refused in one line that names it."""
    catalogue, config, root = subject.descriptor, subject.config, root_of(subject)
    stars = _all_stars(subject)

    def found_and_read(find: Any, read: Callable[[Part], Any]) -> Callable[[Part], Any]:
        # A damaged file may be refused when parts are found, or when it is read.
        def both(part: Part) -> Any:
            find(config, root)
            return read(part)

        return both

    sources = found_and_read(
        catalogue.source_parts, lambda part: catalogue.read_sources(part, config, None, ())
    )
    features = found_and_read(
        catalogue.feature_parts, lambda part: catalogue.read_features(part, config, stars, ())
    )
    first = _parts(subject, "source_parts")[0]
    files.judge_bad_files(subject, root, first, [("read_sources", sources)])
    first = _parts(subject, "feature_parts")[0]
    files.judge_bad_files(subject, root, first, [("read_features", features)])


def check_round_trip(subject: Subject) -> None:
    """Check that simulated stars are read back as they were written."""
    if subject.descriptor.write_simulated is None:
        raise NotTestedError("the catalogue has no `write_simulated`")
    truth = written_stars(draw_stars())
    stars = _all_stars(subject)
    if subject.descriptor.provides == "spectra":
        demand(
            np.array_equal(stars["source_id"], truth["source_id"]),
            f"{len(truth['source_id'])} simulated stars with a spectrum are read as {len(stars)}:"
            " write and read every star that has_spectrum, and no other",
        )
    rows = rows_of(stars["source_id"], truth["source_id"])
    for name, own, tolerance in (
        ("ref_ra", "ref_ra", 1e-7),
        ("ref_dec", "ref_dec", 1e-7),
        ("pmra", "pmra", 1e-3),
        ("pmdec", "pmdec", 1e-3),
        ("reference_mag", "bp_mag", 1e-5),
    ):
        judge_truth(stars[name], truth[own][rows], name, tolerance)


def rows_of(read: npt.NDArray[np.int64], written: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return where the stars that are read stand among those written; demand that it is some."""
    demand(
        np.isin(read, written).all() and len(read) >= LEAST_READ * len(written),
        f"of {len(written)} simulated stars {np.isin(written, read).sum()} are read, and"
        f" {np.count_nonzero(~np.isin(read, written))} that were not written: write and read the"
        " stars that have a spectrum, under their own source_id",
    )
    return np.searchsorted(written, read)


def written_stars(stars: SimulatedStars) -> dict[str, Any]:
    """Return columns of the simulated stars that have a spectrum, by source_id."""
    table = stars.table.filter(stars.table["has_spectrum"])
    return {name: table[name].to_numpy() for name in table.column_names}


def judge_truth(read: Any, truth: Any, name: str, tolerance: Any) -> None:
    """Demand that a column is read back as it was simulated, within a tolerance for each row."""
    off = np.abs(np.asarray(read) - np.asarray(truth))
    demand(
        (off <= tolerance).all(),
        f"{name} of simulated stars is read back off by up to {off.max():.3g}: `write_simulated`"
        " and the reader must be inverses, in units and order",
    )
