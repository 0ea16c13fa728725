"""Checks that plugins share which find files and read them in parts."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.errors import DataError, named
from scrframe.plugin import Part
from scrframe.tables import ColumnTable
from scrframe.tables.table import arrow_type
from scrframe.testing.common import short
from scrframe.testing.subject import (
    CheckFailureError,
    NotTestedError,
    Reading,
    Repeat,
    Subject,
    demand,
    take_example,
)

#: What to do about readers that give other values the second time.
SAME_AGAIN = "nothing may depend on random numbers, the clock or what was read before"
NOISE = np.random.default_rng(1).integers(0, 256, 3000, dtype=np.uint8).tobytes()


def root_of(subject: Subject, *, judge: bool = False) -> Path:
    """Return the folder of the example, which is written at the first use."""
    write = subject.traits.write
    return subject.once(
        "an example of the data", lambda: remember(subject, write(subject)), judge=judge
    )


def example_of(subject: Subject, root: Path) -> None:
    """Write the descriptor's example and take its settings, unless others are given."""
    demand(
        subject.descriptor.example is not None,
        "the descriptor has neither `write_simulated` nor `example`: add a function (directory) ->"
        " config that writes a tiny catalogue, without which nothing can be checked",
    )
    take_example(subject, root)


def parts_of(subject: Subject, finder: str = "parts") -> list[Part]:
    """Return the parts of the example that a function of the descriptor finds."""
    root, find = root_of(subject), getattr(subject.descriptor, finder)
    return subject.once(finder, lambda: find(subject.config, root))


def check_example(subject: Subject) -> None:
    """Check that the plugin writes a tiny example of its data, and settings that read it."""
    root = root_of(subject, judge=True)
    demand(any(root.rglob("*")), "the example wrote no file: write a few rows of each table")


def check_parts(subject: Subject) -> None:
    """Check that input is found without reading it, in a stable order, with stable keys."""
    root = root_of(subject)
    for name in subject.traits.finders:
        subject.once(name, lambda name=name: _judged_parts(subject, name, root), judge=True)  # type: ignore[misc]
        _judge_no_input(subject, name)


def _judged_parts(subject: Subject, name: str, root: Path) -> list[Part]:
    find = getattr(subject.descriptor, name)
    found = find(subject.config, root)
    demand(
        isinstance(found, list) and found and all(isinstance(part, Part) for part in found),
        f"`{name}` returned {short(found)} for the example: return a list of one Part or more",
    )
    keys = [part.key for part in found]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    demand(
        twice is None,
        f"`{name}` gives two parts the key {twice!r}: make keys unique, such as the path"
        " relative to the data root with what sets parts of one file apart",
    )
    again = find(subject.config, root)
    for field in ("key", "fingerprint"):
        demand(
            [getattr(part, field) for part in again] == [getattr(part, field) for part in found],
            f"`{name}` gives other {field}s or another order the second time: sort the files, and"
            " take from them only what changes with their content",
        )
    for part in found:
        demand(part.fingerprint, f"part {part.key!r} has no fingerprint: see `file_part`")
        demand(
            Path(part.path).exists(),
            f"part {part.key!r} names the path {part.path}, which does not exist",
        )
        try:
            pickle.dumps(part)
        except Exception as error:
            demand(
                False,
                f"part {part.key!r} cannot be pickled ({error}): keep plain values only"
                " in its `detail`",
            )
    return list(found)


def _judge_no_input(subject: Subject, name: str) -> None:
    """Demand that an empty data root is refused with its path."""
    empty = subject.folder("empty")
    advice = "raise a DataError that says what was looked for and where"
    try:
        found = getattr(subject.descriptor, name)(subject.config, empty)
    except DataError as error:
        demand(
            str(empty) in str(error),
            f"`{name}` does not say where it looked: {error}; name the data root or the pattern"
            " below it in the message",
        )
        return
    except Exception as error:
        raise CheckFailureError(
            f"`{name}` raised {type(error).__name__} for an empty data root: {advice}"
        ) from error
    demand(False, f"`{name}` returned {short(found)} for an empty data root: {advice}")


def check_input_untouched(subject: Subject) -> None:
    """Check that the input stays as it is."""
    root, _ = root_of(subject), list(subject.traits.repeat(subject))
    before = subject.once("digests of the example", lambda: _digests(root))
    changed = sorted(set(before.items()) ^ set(_digests(root).items()))
    demand(
        not changed,
        f"the plugin changed or made the file {changed[0][0] if changed else ''}: leave the data"
        " root as it is, and keep what must be kept in memory",
    )


def remember(subject: Subject, root: Path) -> Path:
    """Note the files below a folder that has just been written, and return the folder."""
    subject.once("digests of the example", lambda: _digests(root))
    return root


def _digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def check_bad_file(subject: Subject) -> None:
    """Check that a damaged file is refused in one line that names it.

    A file of noise and an empty one must be refused when it is read; one cut in half may be.
    """
    for reading in subject.traits.readings(subject):
        part = parts_of(subject, reading.finder)[0]
        path = Path(part.path)
        if not path.is_file():
            raise NotTestedError(f"{part.key} is no file")
        content = path.read_bytes()
        half = content[: len(content) // 2]
        damages = {"of noise": NOISE, "of no length": b"", "cut in half": half}
        try:
            for what, damaged in damages.items():
                path.write_bytes(damaged)
                demand(
                    _refuses(subject, reading, part, what)
                    or what == "cut in half"
                    or reading.name == "check",
                    f"`{reading.name}` takes a file {what} without an error: raise a DataError that"
                    " begins with the file's path",
                )
        finally:
            path.write_bytes(content)


def _refuses(subject: Subject, reading: Reading, part: Part, what: str) -> bool:
    """Return whether a damaged file is refused; a refusal must be a DataError with the path."""
    advice = "catch what the reading library raises, and raise a DataError that begins with the"
    try:
        if subject.traits.finders_refuse:
            getattr(subject.descriptor, reading.finder)(subject.config, root_of(subject))
        reading.read(part)
    except DataError as error:
        text = str(error)
        demand(
            Path(part.path).name in text,
            f"`{reading.name}` does not name the file that is bad: {text!r}; {advice} file's path",
        )
        demand("\n" not in text, f"`{reading.name}` says {text!r}: make the message one line")
        return True
    except Exception as error:
        raise CheckFailureError(
            f"`{reading.name}` raised {type(error).__name__} ({short(error)}) for a file {what}:"
            f" {advice} file's path"
        ) from error
    return False


def columns_of(table: ColumnTable) -> dict[str, Any]:
    """Return the columns of a table as messages call them."""
    return {f"column {name!r}": table[name] for name in table.names}


def read_again(first: ColumnTable, second: ColumnTable, what: str) -> Repeat:
    """Return two readings of the same rows, which must be the same; `what` was read again."""
    when = f"when {what} read again"
    return Repeat(columns_of(first), columns_of(second), when, SAME_AGAIN)


def judge_kind(table: Any, kind: type[ColumnTable], reader: str) -> None:
    """Demand that a function returned a table of the right class."""
    demand(
        isinstance(table, kind),
        f"`{reader}` returned a {type(table).__name__}: return scrframe.tables.{kind.__name__}, for"
        f" example {kind.__name__}.from_columns({{...}})",
    )


def judge_delivered(
    table: ColumnTable, promised: Sequence[str], own: Sequence[Any], reader: str
) -> None:
    """Demand that every promised column is there, own ones in the kind they are declared with."""
    missing = [name for name in (*promised, *(c.name for c in own)) if name not in table]
    demand(
        not missing,
        f"`{reader}` does not deliver the {named('column', missing)} that the descriptor"
        " promises: deliver them, or take them out of `columns` and `own_columns`",
    )
    for column in own:
        given, wanted = table.arrow.schema.field(column.name).type, arrow_type(column.kind)
        demand(
            given == wanted,
            f"own column {column.name!r} is delivered as {given}, but declared {column.kind}"
            f" ({wanted}): convert it, or change its `kind`",
        )


def judge_once(source_id: npt.NDArray[Any], reader: str) -> None:
    """Demand that each star has one row."""
    demand(
        len(np.unique(source_id)) == len(source_id),
        f"`{reader}` delivers a star twice: each source_id has one row",
    )


def judge_ranges(table: ColumnTable, ranges: Mapping[str, tuple[float, float, str]]) -> None:
    """Demand that all finite values of columns lie between two bounds, where there are any."""
    for name, (low, high, advice) in ranges.items():
        values = table[name] if name in table else np.zeros(0)
        finite = values[np.isfinite(values)]
        bad = finite[(finite < low) | (finite > high)]
        demand(
            not len(bad),
            f"{name} has the value {bad[0] if len(bad) else 0:g} outside {low:g} to {high:g}:"
            f" {advice}",
        )
