"""Checks of extinction catalogues and extinction curves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from scrframe.arrays import FloatArray, IntArray
from scrframe.errors import ScrframeError, number_of
from scrframe.tables import Extinctions
from scrframe.testing import readers
from scrframe.testing.common import judge_columns, judge_same, refused, same_bits
from scrframe.testing.draws import draw_stars
from scrframe.testing.references import by_star, judge_truth, rows_of, written_stars
from scrframe.testing.subject import KindTraits, Reading, Repeat, Subject, demand

#: Wavelengths in nm that any curve for stars in the optical covers.
OPTICAL_NM = np.linspace(450.0, 900.0, 46)
OPTICAL_NM.flags.writeable = False
#: Float32 holds E of 1 mag to 1e-7.
EXTINCTION_TOLERANCE = 1e-6
SIGMAS = 6
#: Values in the units of the vocabulary, and what to do about others.
RANGES = {
    "extinction": (-2, 60, "give E in the unit of the extinction curve"),
    "extinction_err": (1e-9, 20, "give errors in mag, above 0"),
    "teff": (1000, 200000, "give K, not kK or log Teff"),
    "logg": (-3, 10, "give dex (cgs)"),
    "feh": (-10, 3, "give dex"),
}


def _write(subject: Subject) -> Path:
    """Write extinctions of simulated stars, or the example, and return the folder."""
    root = subject.folder("extinctions")
    if subject.descriptor.write_simulated is not None:
        subject.descriptor.write_simulated(draw_stars(), root)
    else:
        readers.example_of(subject, root)
    return root


def _ids(subject: Subject) -> IntArray:
    """Return identifiers that the example may hold, ascending."""
    if subject.descriptor.write_simulated is None:
        return np.arange(1, 1001, dtype=np.int64)
    return np.asarray(written_stars(subject)["source_id"])


def _read(subject: Subject, ids: IntArray) -> Extinctions:
    wanted = np.array(ids)
    wanted.flags.writeable = False
    tables = [subject.descriptor.read(p, subject.config, wanted) for p in readers.parts_of(subject)]
    for table in tables:
        readers.judge_kind(table, Extinctions, "read")
    return by_star(Extinctions.concat(tables))


def _table(subject: Subject, *, judge: bool = False) -> Extinctions:
    ids = _ids(subject)
    return subject.once("extinctions", lambda: _read(subject, ids), judge=judge)


def _repeat(subject: Subject) -> Iterator[Repeat]:
    yield readers.read_again(_table(subject), _read(subject, _ids(subject)), "stars are")


def _readings(subject: Subject) -> Iterator[Reading]:
    read, config, ids = subject.descriptor.read, subject.config, _ids(subject)
    yield Reading("read", "parts", lambda part: read(part, config, ids))


TRAITS = KindTraits(
    repeat=_repeat, write=_write, finders=("parts",), readings=_readings, finders_refuse=True
)


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
    readers.judge_delivered(table, catalogue.columns, catalogue.own_columns, "read")
    readers.judge_once(table["source_id"], "read")


def check_finite(subject: Subject) -> None:
    """Check that extinctions and errors are finite, or both masked, with no stand-in."""
    table = _table(subject)
    for name in ("extinction", "extinction_err"):
        values = table[name]
        bad = np.isinf(values) | np.isin(np.abs(values), (99.0, 999.0, 9999.0))
        demand(
            not bad.any(),
            f"{name} is {values[bad][0] if bad.any() else 0:g} for"
            f" {number_of(int(bad.sum()), 'star')}, a stand-in for a missing value:"
            " make it NaN",
        )
    demand(np.isfinite(table["extinction"]).any(), "no extinction of the example is finite")


def check_units(subject: Subject) -> None:
    """Check that values are in the units of the vocabulary."""
    readers.judge_ranges(_table(subject), RANGES)


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
    judge_same(
        readers.columns_of(whole.take(np.arange(0, len(whole), 2))),
        readers.columns_of(some),
        "when fewer stars are asked for",
        "treat each star by itself",
    )
    none = _read(subject, np.array([5], dtype=np.int64) + 8 * 10**18)
    demand(
        not len(none) and set(none.names) == set(whole.names),
        "where no star is held, `read` must return a table of no rows with the same columns",
    )


def check_round_trip(subject: Subject) -> None:
    """Check that simulated extinctions are read back as they were written."""
    truth, table = written_stars(subject), _table(subject)
    rows = rows_of(table["source_id"], truth["source_id"])
    # A simulated catalogue may have its own scatter, within the errors that it states.
    tolerance = EXTINCTION_TOLERANCE + SIGMAS * table["extinction_err"]
    judge_truth(table["extinction"], truth["extinction"][rows], "extinction", tolerance)


def _curve(subject: Subject, *, judge: bool = False) -> FloatArray:
    def make() -> Any:
        return subject.descriptor.curve(subject.config, OPTICAL_NM)

    return subject.once("the curve from 450 to 900 nm", make, judge=judge)


def check_curve_schema(subject: Subject) -> None:
    """Check that the curve takes arrays of any shape, and returns floats of that shape."""
    k = _curve(subject, judge=True)
    demand(
        isinstance(k, np.ndarray) and k.dtype == np.float64 and k.shape == OPTICAL_NM.shape,
        "`curve` must return an array of float64 of the shape of the wavelengths",
    )
    table = subject.descriptor.curve(subject.config, OPTICAL_NM.reshape(2, -1))
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
    demand(0.1 < k[10] < 30, f"k is {k[10]:.3g} at 550 nm: give A / E in mag per unit E")


def check_curve_chunks(subject: Subject) -> None:
    """Check that a wavelength has the same k whichever others are asked for, and each time."""
    k, curve, config = _curve(subject), subject.descriptor.curve, subject.config
    pieces = [curve(config, OPTICAL_NM[start : start + 7]) for start in range(0, 46, 7)]
    demand(
        same_bits(k, np.concatenate(pieces)) and same_bits(k, curve(config, OPTICAL_NM)),
        "k of a wavelength depends on which others are asked for, or on the call: compute each by"
        " itself, without random numbers",
    )


def check_curve_refusals(subject: Subject) -> None:
    """Check that what the curve does not know is refused, not invented."""
    curve, config = subject.descriptor.curve, subject.config
    said = refused(lambda: curve(config, np.array([550.0, np.nan])))
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
