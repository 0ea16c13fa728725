"""Checks of extinction catalogues and extinction curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.errors import ScrframeError
from scrframe.plugin import Part
from scrframe.tables import Extinctions
from scrframe.testing import files
from scrframe.testing.common import judge_columns
from scrframe.testing.draws import draw_stars
from scrframe.testing.references import example_of, judge_truth, rows_of, written_stars
from scrframe.testing.subject import NotTestedError, Subject, demand

#: Wavelengths in nm that any curve for stars in the optical covers.
OPTICAL_NM = np.linspace(450.0, 900.0, 46)
#: Float32 holds E of 1 mag to 1e-7.
EXTINCTION_TOLERANCE = 1e-6
SIGMAS = 6


def root_of(subject: Subject, *, judge: bool = False) -> Path:
    """Return the folder of the example, which is written at the first use."""
    return subject.once(
        "an example of the data", lambda: files.remember(subject, _written(subject)), judge=judge
    )


def _written(subject: Subject) -> Path:
    root = subject.folder("extinctions")
    if subject.descriptor.write_simulated is not None:
        subject.descriptor.write_simulated(draw_stars(), root)
    else:
        example_of(subject, root)
    return root


def check_example(subject: Subject) -> None:
    """Check that the catalogue writes simulated stars, or brings a tiny example."""
    root = root_of(subject, judge=True)
    demand(any(root.rglob("*")), "the example wrote no file: write a few stars")


def check_parts(subject: Subject) -> None:
    """Check that input is found without reading it, in a stable order, with stable keys."""
    root, find = root_of(subject), subject.descriptor.parts
    subject.once("parts", lambda: files.judge_parts(subject, "parts", find, root), judge=True)
    files.judge_no_input(subject, "parts", find)


def _parts(subject: Subject) -> list[Part]:
    root = root_of(subject)
    return subject.once("parts", lambda: subject.descriptor.parts(subject.config, root))


def _ids(subject: Subject) -> npt.NDArray[np.int64]:
    """Return identifiers that the example may hold, ascending."""
    if subject.descriptor.write_simulated is not None:
        ids: npt.NDArray[np.int64] = written_stars(draw_stars())["source_id"]
        return ids
    return np.arange(1, 1001, dtype=np.int64)


def _read(subject: Subject, ids: npt.NDArray[np.int64]) -> Extinctions:
    wanted = np.array(ids)
    wanted.flags.writeable = False
    tables = [subject.descriptor.read(p, subject.config, wanted) for p in _parts(subject)]
    for table in tables:
        demand(
            isinstance(table, Extinctions),
            f"`read` returned a {type(table).__name__}: return scrframe.tables.Extinctions",
        )
    joined = Extinctions.concat(tables)
    return joined.take(np.argsort(joined["source_id"], kind="stable"))


def _table(subject: Subject, *, judge: bool = False) -> Extinctions:
    return subject.once("extinctions", lambda: _read(subject, _ids(subject)), judge=judge)


def check_schema(subject: Subject) -> None:
    """Check that every promised column is delivered, each star once, only of stars asked for."""
    catalogue = subject.descriptor
    judge_columns(catalogue.columns, ("extinction", "reference"))
    table = _table(subject, judge=True)
    demand(
        len(table),
        "`read` delivers no star of the example; the identifiers asked for are those that"
        " `write_simulated` was given, or 1 to 1000: use these in `example`",
    )
    own = [column.name for column in catalogue.own_columns]
    files.judge_delivered(table, [*catalogue.columns, *own], "read")
    files.own_types(table, catalogue.own_columns)
    demand(
        len(np.unique(table["source_id"])) == len(table),
        "`read` delivers a star twice: each source_id has one row",
    )


def check_finite(subject: Subject) -> None:
    """Check that extinctions and errors are finite, or both masked, with no stand-in."""
    table = _table(subject)
    for name in ("extinction", "extinction_err"):
        values = table[name]
        bad = np.isinf(values) | np.isin(np.abs(values), (99.0, 999.0, 9999.0))
        demand(
            not bad.any(),
            f"{name} is {values[bad][0] if bad.any() else 0:g} for {np.count_nonzero(bad)} star(s),"
            " a stand-in for a missing value: make it NaN",
        )
    demand(np.isfinite(table["extinction"]).any(), "no extinction of the example is finite")


def check_units(subject: Subject) -> None:
    """Check that values are in the units of the vocabulary."""
    table = _table(subject)
    for name, low, high, advice in (
        ("extinction", -2, 60, "give E in the unit of the extinction curve"),
        ("extinction_err", 1e-9, 20, "give errors in mag, above 0"),
        ("teff", 1000, 200000, "give K, not kK or log Teff"),
        ("logg", -3, 10, "give dex (cgs)"),
        ("feh", -10, 3, "give dex"),
    ):
        if name in table:
            files.judge_range(table[name], name, low, high, advice)


def check_chunks(subject: Subject) -> None:
    """Check that only the stars asked for are read, whichever others are asked for with them."""
    whole = _table(subject)
    half = whole["source_id"][::2]
    some = _read(subject, half)
    demand(
        np.array_equal(some["source_id"], half),
        f"of {len(half)} stars asked for, {len(some)} rows are delivered: return exactly the stars"
        " asked for that the catalogue holds",
    )
    files.judge_same(
        whole.take(np.arange(0, len(whole), 2)),
        some,
        "when fewer stars are asked for",
        "treat each star by itself",
    )
    none = _read(subject, np.array([5], dtype=np.int64) + 8 * 10**18)
    demand(
        not len(none) and set(none.names) == set(whole.names),
        "where no star is held, `read` must return a table of no rows with the same columns",
    )


def check_deterministic(subject: Subject) -> None:
    """Check that reading twice gives the same bits."""
    files.judge_same(
        _table(subject),
        _read(subject, _ids(subject)),
        "when they are read again",
        "nothing may depend on random numbers, the clock or what was read before",
    )


def check_input_untouched(subject: Subject) -> None:
    """Check that reading leaves the files as they are."""
    _table(subject)
    files.judge_untouched(subject, root_of(subject))


def check_bad_file(subject: Subject) -> None:
    """Check that a damaged file is refused in one line that names it."""
    catalogue, config, root = subject.descriptor, subject.config, root_of(subject)

    def found_and_read(part: Part) -> Any:
        catalogue.parts(config, root)
        return catalogue.read(part, config, _ids(subject))

    files.judge_bad_files(subject, root, _parts(subject)[0], [("read", found_and_read)])


def check_round_trip(subject: Subject) -> None:
    """Check that simulated extinctions are read back as they were written."""
    if subject.descriptor.write_simulated is None:
        raise NotTestedError("the catalogue has no `write_simulated`")
    truth, table = written_stars(draw_stars()), _table(subject)
    rows = rows_of(table["source_id"], truth["source_id"])
    # A simulated catalogue may have its own scatter, within the errors that it states.
    tolerance = EXTINCTION_TOLERANCE + SIGMAS * table["extinction_err"]
    judge_truth(table["extinction"], truth["extinction"][rows], "extinction", tolerance)


def _curve(subject: Subject, *, judge: bool = False) -> npt.NDArray[np.float64]:
    def make() -> Any:
        return subject.descriptor.curve(subject.config, _frozen(OPTICAL_NM))

    return subject.once("the curve from 450 to 900 nm", make, judge=judge)


def _frozen(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    copy = np.array(values)
    copy.flags.writeable = False
    return copy


def check_curve_schema(subject: Subject) -> None:
    """Check that the curve takes arrays of any shape, and returns floats of that shape."""
    k = _curve(subject, judge=True)
    demand(
        isinstance(k, np.ndarray) and k.dtype == np.float64 and k.shape == OPTICAL_NM.shape,
        "`curve` must return an array of float64 of the shape of the wavelengths",
    )
    table = subject.descriptor.curve(subject.config, _frozen(OPTICAL_NM.reshape(2, -1)))
    demand(
        np.shape(table) == (2, len(OPTICAL_NM) // 2),
        "`curve` must return the shape that it is given, also of two axes",
    )
    demand(
        not np.shares_memory(k, OPTICAL_NM), "`curve` returns the array that it was given: copy it"
    )


def check_curve_units(subject: Subject) -> None:
    """Check that the curve is positive and falls from blue to red: mag per unit E, against nm."""
    k = _curve(subject)
    demand(np.isfinite(k).all(), "`curve` is not finite between 450 and 900 nm")
    demand(
        (k > 0).all() and k[-1] < k[0],
        f"k goes from {k[0]:.3g} at 450 nm to {k[-1]:.3g} at 900 nm: it must be positive and fall;"
        " are its wavelengths in nm?",
    )
    demand(
        0.1 < k[10] < 30,
        f"k is {k[10]:.3g} at 550 nm: give A / E in mag per unit E",
    )


def check_curve_chunks(subject: Subject) -> None:
    """Check that a wavelength has the same k whichever others are asked for, and each time."""
    k, curve, config = _curve(subject), subject.descriptor.curve, subject.config
    pieces = [curve(config, OPTICAL_NM[start : start + 7]) for start in range(0, 46, 7)]
    demand(
        files.same_bits(k, np.concatenate(pieces))
        and files.same_bits(k, curve(config, OPTICAL_NM)),
        "k of a wavelength depends on which others are asked for, or on the call: compute each by"
        " itself, without random numbers",
    )


def check_curve_refusals(subject: Subject) -> None:
    """Check that what the curve does not know is refused, not invented."""
    curve, config = subject.descriptor.curve, subject.config
    said = files.refused(lambda: curve(config, np.array([550.0, np.nan])))
    demand(not said, f"a wavelength that is NaN {said}: raise a CalibrationError")
    for wavelength in (0.001, 1e9):
        try:
            value = curve(config, np.array([wavelength]))
        except Exception as error:
            demand(
                isinstance(error, ScrframeError),
                f"{wavelength:g} nm raises {type(error).__name__}: raise a CalibrationError that"
                " says where the curve ends",
            )
            continue
        demand(
            np.isfinite(value).all() and (value >= 0).all(),
            f"`curve` returns {value[0]:g} at {wavelength:g} nm: raise a CalibrationError outside"
            " its range",
        )
