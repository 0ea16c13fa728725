"""Further tables, whose columns are added to the detections by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scrframe.builtin.survey_loaders.table.settings import Join
from scrframe.errors import DataError, did_you_mean
from scrframe.io import matching_files, open_tables
from scrframe.io.block import Block

#: Stands between the keys of a join by several; no text of a catalogue holds it.
_BETWEEN = "\x1f"
#: How far up from a catalogue tables to join are looked for.
_LEVELS = 5


@dataclass(frozen=True)
class JoinTable:
    """A further table in memory."""

    #: Its files, for messages.
    label: str
    #: Its keys as text, each once.
    keys: pa.Array
    #: Columns to add, by their new names.
    columns: pa.Table
    #: Units that they declare.
    units: Mapping[str, str]


def join_block(block: Block, join: Join, root: Path) -> Block:
    """Return a block with the columns of a further table.

    Raises DataError if a row has no partner and `required` is true, or a column's name is taken.
    """
    table = load_join(join, root)
    keys = _keys(block, tuple(join.on))
    found = pc.index_in(keys, value_set=table.keys, skip_nulls=True)
    alone = found.is_null().to_numpy(zero_copy_only=False).astype(bool)
    if join.required and alone.any():
        first = int(np.flatnonzero(alone)[0])
        said = ", ".join(f"{name} = {block.texts(name)[first].as_py()}" for name in join.on)
        block.refuse(alone, f"{said} has no partner in {table.label}")
    for name in join.columns:
        if name in block.table.column_names:
            raise DataError(
                f'{block.label}: column "{name}" is in the table and in {table.label};'
                " give the joined one another name: columns: {new: old}"
            )
    added = {name: table.columns.column(name).take(found) for name in join.columns}
    return block.with_columns(added, table.units)


def load_join(join: Join, root: Path) -> JoinTable:
    """Return a further table; one that has not changed since is not read again.

    Raises DataError if it is missing, damaged, lacks a column, or has a key twice.
    """
    files = tuple(matching_files(join.files, root))
    if not files:
        raise DataError(f"no table to join matches {join.files!r} below {root}")
    state = tuple(fingerprint(path) for path in files)
    return _load(
        files, state, join.format, join.hdu, tuple(join.on.values()), tuple(join.columns.items())
    )


@lru_cache(maxsize=8)
def _load(
    files: tuple[Path, ...],
    state: tuple[str, ...],
    file_format: str,
    hdu: int | str | None,
    keys: tuple[str, ...],
    columns: tuple[tuple[str, str], ...],
) -> JoinTable:
    key_parts: list[pa.Array] = []
    column_parts: list[pa.Table] = []
    units: dict[str, str] = {}
    places: list[tuple[str, int]] = []
    wanted = tuple(dict.fromkeys([*keys, *(old for _, old in columns)]))
    for path in files:
        for table in open_tables(path, file_format, hdu):
            for name in wanted:
                if table.find(name) is None:
                    near = did_you_mean(name, table.names)
                    raise DataError(f'{table.label}: has no column "{name}" for the join{near}')
            for block in table.blocks(wanted):
                units |= {new: block.units[old] for new, old in columns if old in block.units}
                key_parts.append(_keys(block, keys))
                column_parts.append(pa.table({new: block.column(old) for new, old in columns}))
                places += [(table.label, int(block.rows[0]) if len(block) else 0)]
    label = str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
    if not key_parts:
        raise DataError(f"{label}: holds no row to join")
    joined = pa.concat_arrays(key_parts)
    _refuse_twins(joined, key_parts, places, keys)
    return JoinTable(
        label,
        joined,
        pa.concat_tables(column_parts, promote_options="permissive").combine_chunks(),
        units,
    )


def _keys(block: Block, names: Sequence[str]) -> pa.Array:
    """Return the keys of the rows as one text each; null where one is missing."""
    parts = [block.texts(name) for name in names]
    return parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, _BETWEEN)


def _refuse_twins(
    keys: pa.Array,
    parts: Sequence[pa.Array],
    places: Sequence[tuple[str, int]],
    names: Sequence[str],
) -> None:
    first = pc.index_in(keys, value_set=keys).to_numpy(zero_copy_only=False)
    known = ~keys.is_null().to_numpy(zero_copy_only=False).astype(bool)
    twice = np.flatnonzero(known & (first != np.arange(len(keys))))
    if not len(twice):
        return
    starts = np.cumsum([0, *(len(part) for part in parts)])
    part = int(np.searchsorted(starts, twice[0], side="right")) - 1
    label, start = places[part]
    said = " ".join(str(keys[int(twice[0])].as_py()).split(_BETWEEN))
    raise DataError(
        f"{label}, row {start + twice[0] - starts[part]}: the key {', '.join(names)} = {said}"
        f" appears twice ({len(twice)} rows in all); a join needs it once"
    )


def fingerprint(path: Path) -> str:
    """Return what changes when a file does: its size and time of modification."""
    state = path.stat()
    return f"{state.st_size}-{state.st_mtime_ns}"


def root_of(path: Path, patterns: Sequence[str]) -> Path:
    """Return the nearest directory above a file below which all patterns match.

    Raises DataError if there is none.
    """
    for folder in path.absolute().parents[:_LEVELS]:
        if all(any(True for _ in folder.glob(pattern)) for pattern in patterns):
            return folder
    raise DataError(
        f"{path}: no table to join matches {', '.join(map(repr, patterns))} beside it or in a"
        " directory above"
    )
