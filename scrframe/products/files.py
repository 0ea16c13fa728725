"""Names of files, files that are written whole or not at all, and results as plain JSON."""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scrframe.errors import ConfigError, DataError
from scrframe.io import refuse_name
from scrframe.io.parquet import for_astropy, write_plain

if TYPE_CHECKING:
    from astropy.table import Table


def to_json(value: Any) -> Any:
    """Return dicts, lists, texts, numbers and None for a value of (nested) dataclasses.

    JSON has no number that is not finite: such a number becomes None.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def from_json(kind: Any, value: Any) -> Any:
    """Return the value of a declared type that `to_json` wrote; None as a float is NaN.

    A type is a dataclass, `tuple[x, ...]`, `dict[str, x]`, `x | None`, an array type, or a plain
    type, of which dataclasses may be nested to any depth.
    """
    if is_dataclass(kind) and isinstance(kind, type):
        kinds = _kinds(kind)
        known = {field.name for field in fields(kind)} & set(value)
        return kind(**{name: from_json(kinds[name], value[name]) for name in sorted(known)})
    if kind is float:
        return math.nan if value is None else float(value)
    return _from_generic(kind, value)


def _from_generic(kind: Any, value: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        (sole,) = (one for one in inner if one is not NoneType)
        return None if value is None else from_json(sole, value)
    if origin is tuple:
        return tuple(from_json(inner[0], item) for item in value)
    if origin is dict:
        return {key: from_json(inner[1], item) for key, item in value.items()}
    if origin is np.ndarray:
        return _array(kind, value)
    return value


def _array(kind: Any, value: list[Any]) -> Any:
    """Return a list of numbers as an array of the element type that `kind` declares."""
    scalar = get_args(get_args(kind)[1])[0]
    if issubclass(scalar, np.floating):
        value = [math.nan if item is None else item for item in value]
    return np.array(value, dtype=scalar)


@cache
def _kinds(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


#: A directory that holds one of these is a run, a Monte Carlo, a cross-check.
RUN_MARK, MONTECARLO, CROSSCHECK = "summary.json", "montecarlo.json", "crosscheck.json"
#: Folder of what several runs share, beside them; its own summary marks them.
SHARED = "shared"
#: The visits of a cross-check.
CROSSCHECK_VISITS = "crosscheck.ecsv"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a hidden file, which takes the place of `path` when it is written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    yield temporary
    temporary.replace(path)


def damaged(path: Path, error: Exception) -> DataError:
    """Return what to raise where a file cannot be read: its path and the reason, in one line."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return DataError(f"{path}: is damaged: {reason}")


@contextmanager
def writable(out: Path) -> Iterator[None]:
    """Turn the failure to make folders for an output into one line.

    Raises DataError if its name is not UTF-8.
    """
    refuse_name(out)
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{out}: cannot write there: {error.strerror}; choose another --out"
        ) from None


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


#: Folder, beside those of the pieces, of files that say which are done and what they hold.
SEALS = "done"


def seal(piece: Path, *others: Path, said: Mapping[str, Any] | None = None) -> None:
    """Say that a piece of work is done: all its files are written, and hold this.

    Parameters
    ----------
    piece : Path
        Names the piece, in a folder of such pieces; a file of it, if it exists.
    *others : Path
        Its other files, on the same file system.
    said : mapping, optional
        What `sealed` gives back; plain JSON.
    """
    files = [each for each in (piece, *others) if each.exists()]
    hashes = {os.path.relpath(each, piece.parent): file_hash(each) for each in files}
    _seal_of(piece).parent.mkdir(exist_ok=True)
    write_json(_seal_of(piece), {"sha256": hashes, "said": said or {}})


def sealed(piece: Path) -> dict[str, Any] | None:
    """Return what was said of a piece that is done and whole; None of any other."""
    try:
        content = json.loads(_seal_of(piece).read_text(encoding="utf-8"))
        for name, known in content["sha256"].items():
            if file_hash(piece.parent / name) != known:
                return None
        said: dict[str, Any] = content["said"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return said


def _seal_of(piece: Path) -> Path:
    return piece.parent.with_name(SEALS) / f"{piece.parent.name}-{piece.name}.json"


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    write_bytes(text.encode("utf-8"), path)


def write_bytes(content: bytes, path: Path) -> None:
    """Write a file."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_ecsv(table: Table, path: Path) -> None:
    """Write a table as ECSV."""
    with replacing(path) as temporary:
        table.write(temporary, format="ascii.ecsv", overwrite=True)


def load_ecsv(path: Path) -> Table:
    """Return a table; fails as astropy does."""
    from astropy.table import Table  # noqa: PLC0415 - slow to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged tables, which are refused by what they hold
        return Table.read(path, format="ascii.ecsv")


def read_ecsv(path: Path) -> Table:
    """Return a table of a directory of results.

    Raises DataError if the file is missing or not readable.
    """
    if not path.is_file():
        raise DataError(f"{path}: is missing; make the results anew")
    try:
        return load_ecsv(path)
    except (OSError, ValueError) as error:
        raise damaged(path, error) from None


def read_summary(folder: Path, name: str, what: str) -> Mapping[str, Any]:
    """Return the summary, a JSON file, of a directory of results; `what` it is in words.

    Raises DataError if the directory has no such file, or it is not readable.
    """
    path = folder / name
    if not path.is_file():
        raise DataError(f"{folder}: is not a directory of {what}; it has no {name}")
    try:
        summary: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path, error) from None
    return summary


def write_parquet(path: Path, table: pa.Table, meta: Mapping[str, str]) -> None:
    """Write a table as Parquet, dictionaries as plain strings.

    `meta` goes into the file's key-value metadata, beside what gives astropy's reader the units
    and descriptions of the fields.
    """
    with replacing(path) as temporary:
        write_plain(temporary, table, {**_for_astropy(table, path), **meta})


def _for_astropy(table: pa.Table, path: Path) -> dict[str, str]:
    """Return the metadata by which `astropy.table.Table.read` knows units and lengths of text."""
    lengths = {}
    for field in table.schema:
        if pa.types.is_dictionary(field.type):
            labels = pc.unique(table.column(field.name).cast(pa.string()))
            lengths[field.name] = pc.max(pc.utf8_length(labels)).as_py() or 1
    return for_astropy(table.schema, lengths, path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON that any reader takes: values that are not finite become null."""
    write_text(path, json.dumps(to_json(content), indent=2, allow_nan=False, default=str) + "\n")


def save_arrow(path: Path, table: pa.Table, meta: Mapping[str, Any] | None = None) -> None:
    """Write a table as an Arrow file, with JSON beside its schema."""
    metadata = {**(table.schema.metadata or {}), b"scrframe": json.dumps(meta or {}).encode()}
    stamped = table.replace_schema_metadata(metadata)
    with (
        replacing(path) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, stamped.schema) as writer,
    ):
        writer.write_table(stamped)


def load_arrow(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Map an Arrow file into memory and return its table and JSON.

    Raises DataError if the file is not readable.
    """
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: cannot be read back: {error}") from None
    metadata = dict(table.schema.metadata or {})
    meta = json.loads(metadata.pop(b"scrframe", b"{}"))
    return table.replace_schema_metadata(metadata), meta
