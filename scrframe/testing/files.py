"""Checks that plugins share which find files and read them in parts."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.errors import DataError, ScrframeError
from scrframe.plugin import Part
from scrframe.tables import ColumnTable
from scrframe.testing.subject import CheckFailureError, NotTestedError, Subject, demand

Find = Callable[[Any, Path], list[Part]]


def judge_parts(subject: Subject, name: str, find: Find, root: Path) -> list[Part]:
    """Demand that parts are found, the same each time, with unique keys, and return them."""
    found = find(subject.config, root)
    demand(
        isinstance(found, list) and found and all(isinstance(part, Part) for part in found),
        f"`{name}` returned {_short(found)} for the example: return a list of one Part or more",
    )
    keys = [part.key for part in found]
    demand(
        len(set(keys)) == len(keys),
        f"`{name}` gives two parts the key {_twice(keys)!r}: make keys unique, such as the path"
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
    return found


def judge_no_input(subject: Subject, name: str, find: Find) -> None:
    """Demand that an empty data root is refused with its path."""
    empty = subject.folder("empty")
    try:
        found = find(subject.config, empty)
    except DataError as error:
        demand(
            str(empty) in str(error),
            f"`{name}` does not say where it looked: {error}; name the data root or the pattern"
            " below it in the message",
        )
        return
    except Exception as error:
        raise CheckFailureError(
            f"`{name}` raised {type(error).__name__} for an empty data root: raise a DataError that"
            " says what was looked for and where"
        ) from error
    demand(
        False,
        f"`{name}` returned {_short(found)} for an empty data root: raise a DataError that says"
        " what was looked for and where",
    )


def judge_bad_files(
    subject: Subject, root: Path, part: Part, readers: Sequence[tuple[str, Callable[[Part], Any]]]
) -> None:
    """Demand that files that are damaged are refused with their path, and nothing else.

    A file of noise and an empty one must be refused when it is read; one cut in half may be.
    """
    path = Path(part.path)
    if not path.is_file():
        raise NotTestedError(f"{part.key} is no file")
    content = path.read_bytes()
    noise = np.random.default_rng(1).integers(0, 256, 3000, dtype=np.uint8).tobytes()
    damages = {"of noise": noise, "of no length": b"", "cut in half": content[: len(content) // 2]}
    try:
        for what, bad in damages.items():
            path.write_bytes(bad)
            for name, read in readers:
                refused = _refusal(name, read, part, what)
                demand(
                    refused or what == "cut in half" or name == "check",
                    f"`{name}` takes a file {what} without an error: raise a DataError that begins"
                    " with the file's path",
                )
    finally:
        path.write_bytes(content)


def _refusal(name: str, read: Callable[[Part], Any], part: Part, what: str) -> bool:
    """Return whether a damaged file is refused; a refusal must be a DataError with the path."""
    advice = "catch what the reading library raises, and raise a DataError that begins with the"
    try:
        read(part)
    except DataError as error:
        text = str(error)
        demand(
            Path(part.path).name in text,
            f"`{name}` does not name the file that is bad: {text!r}; {advice} file's path",
        )
        demand("\n" not in text, f"`{name}` says {text!r}: make the message one line")
        return True
    except Exception as error:
        raise CheckFailureError(
            f"`{name}` raised {type(error).__name__} ({_short(error)}) for a file {what}:"
            f" {advice} file's path"
        ) from error
    return False


def remember(subject: Subject, root: Path) -> Path:
    """Note the files below a folder that has just been written, and return the folder."""
    subject.once("digests of the example", lambda: _digests(root))
    return root


def judge_untouched(subject: Subject, root: Path) -> None:
    """Demand that all that was read until now has left the files below a folder as they are."""
    before = subject.once("digests of the example", lambda: _digests(root))
    changed = sorted(set(before.items()) ^ set(_digests(root).items()))
    demand(
        not changed,
        f"reading changed or made the file {changed[0][0] if changed else ''}: leave the data root"
        " as it is, and keep what must be kept in memory",
    )


def _digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def judge_same(first: ColumnTable, second: ColumnTable, when: str, advice: str) -> None:
    """Demand that two tables have the same columns with the same bits."""
    demand(
        first.names == second.names and len(first) == len(second),
        f"the table has other columns or rows {when}: {advice}",
    )
    for name in first.names:
        demand(
            same_bits(first[name], second[name]),
            f"column {name!r} has other values {when}: {advice}",
        )


def same_bits(first: npt.ArrayLike, second: npt.ArrayLike) -> bool:
    """Return whether two arrays have type, shape and every bit in common (NaN equals NaN)."""
    a, b = np.asarray(first), np.asarray(second)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


def own_types(table: ColumnTable, columns: Sequence[Any]) -> None:
    """Demand that a plugin's own columns have the kinds that they are declared with."""
    from scrframe.tables.table import arrow_type  # noqa: PLC0415 - beside its only use

    for column in columns:
        given, wanted = table.arrow.schema.field(column.name).type, arrow_type(column.kind)
        demand(
            given == wanted,
            f"own column {column.name!r} is delivered as {given}, but declared {column.kind}"
            f" ({wanted}): convert it, or change its `kind`",
        )


def judge_delivered(table: ColumnTable, promised: Sequence[str], reader: str) -> None:
    """Demand that every promised column is there."""
    missing = [name for name in promised if name not in table]
    demand(
        not missing,
        f"`{reader}` does not deliver the column(s) {', '.join(missing)} that the descriptor"
        " promises: deliver them, or take them out of `columns` and `own_columns`",
    )


def judge_range(values: npt.NDArray[Any], name: str, low: float, high: float, advice: str) -> None:
    """Demand that all finite values lie between two bounds."""
    finite = values[np.isfinite(values)]
    bad = finite[(finite < low) | (finite > high)]
    demand(
        not len(bad),
        f"{name} has the value {bad[0] if len(bad) else 0:g} outside {low:g} to {high:g}: {advice}",
    )


def refused(function: Callable[[], Any], kinds: type[Exception] = ScrframeError) -> str:
    """Return "" if a call is refused in one line, else what happens instead."""
    try:
        function()
    except kinds as error:
        return "" if "\n" not in str(error) else f"the message has several lines: {error}"
    except Exception as error:
        return f"raises {type(error).__name__} ({_short(error)})"
    return "is taken without an error"


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 100 else text[:97] + "..."


def _twice(keys: Sequence[str]) -> str:
    return next((key for key in keys if keys.count(key) > 1), "")
