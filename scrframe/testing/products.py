"""Checks of diagnostics and writers: what is made of a finished calibration."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from scrframe.errors import ScrframeError
from scrframe.plugin import Part, file_part
from scrframe.tables import Corrections, Detections
from scrframe.testing.common import short
from scrframe.testing.draws import draw_corrections, draw_products, draw_sample
from scrframe.testing.readers import root_of
from scrframe.testing.subject import KindTraits, NotTestedError, Repeat, Subject, demand

NOTE = "simulated for a check"
ROWS = 40


def _stars(subject: Subject) -> pa.Table:
    return subject.once("columns of stars.parquet", draw_products)


def _numbers(subject: Subject, *, judge: bool = False) -> Any:
    stars = _stars(subject)
    compute = subject.descriptor.compute
    return subject.once("numbers", lambda: compute(stars, subject.config), judge=judge)


def check_numbers(subject: Subject) -> None:
    """Check that a diagnostic makes names and plain numbers of the columns of stars.parquet."""
    try:
        numbers = _numbers(subject, judge=True)
    except KeyError as error:
        demand(
            False,
            f"`compute` reads the column {error}, which stars.parquet does not have: see"
            " the reference of products",
        )
    demand(
        hasattr(numbers, "items") and len(numbers),
        f"`compute` returned {type(numbers).__name__}: return a mapping of names to numbers",
    )
    strange = list(_strange(numbers, ""))
    demand(
        not strange,
        f"{', '.join(strange)} of `compute` cannot stand in summary.json: return float(...), int,"
        " text, or lists and mappings of them, under names that are text",
    )


def _strange(value: Any, path: str) -> Iterator[str]:
    """Yield the places of values that JSON does not know."""
    if hasattr(value, "items"):
        for name, inner in value.items():
            if not isinstance(name, str):
                yield f"the name {name!r}"
            yield from _strange(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _strange(inner, f"{path}[{number}]")
    elif not (value is None or type(value) in (bool, int, float, str)):
        yield f"{path} ({type(value).__name__})"


def check_few_stars(subject: Subject) -> None:
    """Check that a diagnostic takes a run without a single corrected star."""
    stars = _stars(subject)
    nothing = pa.array(np.full(len(stars), np.nan))
    uncorrected = stars
    for name in ("mag_cal", "offset_total"):
        place = stars.column_names.index(name)
        uncorrected = uncorrected.set_column(place, name, nothing)
    for what, table in (("of no stars", stars.slice(0, 0)), ("without a correction", uncorrected)):
        try:
            numbers = subject.descriptor.compute(table, subject.config)
        except Exception as error:
            demand(
                False,
                f"a table {what} stops `compute` with {type(error).__name__} ({error}):"
                " return NaN where there is no answer",
            )
        demand(not list(_strange(numbers, "")), f"`compute` of a table {what} returns no numbers")


def check_chunks(subject: Subject) -> None:
    """Check that the numbers do not depend on how the table lies in memory, nor on the call."""
    stars, numbers = _stars(subject), _numbers(subject)
    half = len(stars) // 2
    split = pa.concat_tables([stars.slice(0, half), stars.slice(half)])
    for what, table in (("a table in two chunks", split), ("a second call", stars)):
        again = subject.descriptor.compute(table, subject.config)
        demand(
            json.dumps(_plain(again)) == json.dumps(_plain(numbers)),
            f"{what} gives other numbers: treat all rows alike, and draw nothing",
        )


def _plain(numbers: Any) -> Any:
    return {name: _plain(v) if hasattr(v, "items") else v for name, v in numbers.items()}


#: Formats of catalogues by their ending, as astropy names them.
FORMATS = {
    ".fits": "fits",
    ".fit": "fits",
    ".csv": "ascii.csv",
    ".ecsv": "ascii.ecsv",
    ".vot": "votable",
    ".xml": "votable",
    ".parquet": "parquet",
}


def _format_of(suffix: str) -> str | None:
    return FORMATS.get(suffix.removesuffix(".gz"))


@dataclass(frozen=True)
class Written:
    """A catalogue that was corrected: its part, and the files that a writer made of it."""

    out: Path
    part: Part
    detections: Detections
    corrections: Corrections
    files: list[Path]


def _catalogue(subject: Subject) -> Path:
    """Write a small catalogue, in the first format that the writer names, below ``night``."""
    from astropy.table import Table  # noqa: PLC0415 - slow to import

    suffix = (subject.descriptor.suffixes or (".csv",))[0]
    if _format_of(suffix) is None:
        raise NotTestedError(f"there is no example of a catalogue called *{suffix}")
    columns = {f"my_{name}": _detections()[name] for name in Detections.required[6:]}
    path = subject.folder("catalogues/night") / f"visit{suffix}"
    if suffix == ".parquet":
        parquet.write_table(pa.table(columns), path)
    else:
        Table(columns).write(path, format=_format_of(suffix), overwrite=True)
    return path.parents[1]


def _detections() -> Detections:
    return draw_sample().detections.take(np.arange(ROWS))


def _write(subject: Subject, folder: str) -> Written:
    root, out = root_of(subject), subject.folder(folder)
    (path,) = (root / "night").iterdir()
    part = file_part(path, f"night/{path.name}")
    own = {
        "visit": np.full(ROWS, "visit_00"),
        "file": np.full(ROWS, path.name),
        "extension": np.full(ROWS, 1 if _format_of(path.suffix) == "fits" else 0),
        "row": np.arange(ROWS),
    }
    detections = _detections().with_columns(own)
    corrections = draw_corrections(detections)
    arguments = (part, detections, corrections, root, out, subject.config, NOTE)
    return Written(out, part, detections, corrections, subject.descriptor.write(*arguments))


def _written(subject: Subject, *, judge: bool = False) -> Written:
    return subject.once("a corrected catalogue", lambda: _write(subject, "out"), judge=judge)


def check_written(subject: Subject) -> None:
    """Check that a writer writes below the folder it is given, under the path of the input."""
    for suffix in subject.descriptor.suffixes:
        demand(
            isinstance(suffix, str) and suffix.startswith("."),
            f"the suffix {suffix!r} must begin with a dot, such as '.fits'",
        )
    done = _written(subject, judge=True)
    demand(
        isinstance(done.files, list) and done.files,
        f"`write` returned {type(done.files).__name__}: return the list of files that it wrote",
    )
    for path in done.files:
        demand(
            isinstance(path, Path) and path.is_file(),
            f"`write` returned {path!r}, which is no file: return the paths that it wrote",
        )
        demand(
            path.resolve().is_relative_to(done.out.resolve()),
            f"`write` wrote {path}, which is outside the folder {done.out}: write below `out` only",
        )
        demand(
            path.parent.resolve() == (done.out / "night").resolve(),
            f"`write` put the file into {path.parent}: keep the path of the part relative to `root`"
            " (here night/), or files of two nights overwrite each other",
        )
    present = {path.resolve() for path in done.out.rglob("*") if path.is_file()}
    left = sorted(present - {path.resolve() for path in done.files})
    demand(not left, f"`write` leaves {left[0].name if left else ''}, which it does not return")


def check_corrected(subject: Subject) -> None:
    """Check that the file holds mag + correction of each row, NaN where there is none."""
    done = _written(subject)
    truth = done.detections["mag"] + done.corrections.applied_mag
    columns = [column for path in done.files for column in _columns(path)]
    if not columns:
        raise NotTestedError("files of this kind cannot be read by the check")
    demand(
        any(_close(column, truth) for column in columns),
        "no column of the file holds the corrected magnitudes, mag + applied_mag in the order of"
        " the detections: write them in float64, and NaN where that is NaN",
    )
    demand(
        any(_close(column, done.corrections.flags) for column in columns),
        "no column of the file holds `flags` of the corrections: write them beside the magnitudes",
    )


def _columns(path: Path) -> list[Any]:
    """Return the numeric columns of a table; none if the file cannot be read here."""
    from astropy.table import Table  # noqa: PLC0415 - slow to import

    try:
        if path.suffix == ".parquet":
            table = Table(parquet.read_table(path).to_pydict())
        else:
            table = Table.read(path, format=_format_of(Path(path.name.removesuffix(".gz")).suffix))
        return [
            np.ma.filled(np.ma.asarray(table[name]).astype(float), np.nan)
            for name in table.colnames
            if table[name].dtype.kind in "fiu"
        ]
    except Exception:  # any format that is not known here
        return []


def _close(column: Any, truth: Any) -> bool:
    return len(column) == len(truth) and bool(
        np.allclose(column, truth, rtol=0, atol=1e-9, equal_nan=True)
    )


def check_note(subject: Subject) -> None:
    """Check that note on the data is said in the file."""
    done = _written(subject)
    content = b"".join(
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in done.files
    )
    demand(
        NOTE.encode() in content,
        "the text of `note` is not in the file: write it into a header or the metadata, so that"
        " nobody takes simulated data for real ones",
    )


def check_bad_file(subject: Subject) -> None:
    """Check that a damaged input is refused in one line that names it, if it is read at all."""
    done = _written(subject)
    path, content = done.part.path, done.part.path.read_bytes()
    arguments = (done.detections, done.corrections, root_of(subject), subject.folder("bad"))
    try:
        path.write_bytes(b"no catalogue" * 300)
        subject.descriptor.write(done.part, *arguments, subject.config, NOTE)
    except Exception as error:
        demand(
            isinstance(error, ScrframeError) and path.name in str(error) and "\n" not in str(error),
            f"`write` raised {type(error).__name__} ({short(error)}) for a damaged input: raise"
            " a DataError of one line that names the file",
        )
    finally:
        path.write_bytes(content)


def _repeat(subject: Subject) -> Iterator[Repeat]:
    first, second = (
        {f"the content of {path.name}": path.read_bytes() for path in done.files}
        for done in (_written(subject), _write(subject, "again"))
    )
    advice = "leave out times and random names"
    yield Repeat(first, second, "when the same catalogue is written again", advice)


WRITER_TRAITS = KindTraits(repeat=_repeat, write=_catalogue)
