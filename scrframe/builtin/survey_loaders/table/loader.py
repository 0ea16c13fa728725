"""From tables to detections."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scrframe.builtin.survey_loaders.table.joins import fingerprint, join_block, load_join, root_of
from scrframe.builtin.survey_loaders.table.mapping import mapped, usable
from scrframe.builtin.survey_loaders.table.reading import RawColumns
from scrframe.builtin.survey_loaders.table.settings import MAPPED, NEEDED, TableConfig
from scrframe.errors import DataError, did_you_mean
from scrframe.io import key_below, matching_files, open_tables
from scrframe.io.block import Block
from scrframe.io.table_file import RowsInMemory, TableFile
from scrframe.plugin import Part
from scrframe.tables import Column, Detections
from scrframe.tables.columns import BY_NAME
from scrframe.tables.cuts import Cut
from scrframe.tables.table import arrow_type

#: Largest difference of the dates of one visit, in days.
_VISIT_DAYS = 1.0
#: Rows of a table that a check reads.
HEAD_ROWS = 500
#: What messages call a table that is in no file.
TABLE = "the table"


def parts(config: TableConfig, root: Path) -> list[Part]:
    """Find the catalogues below the data root, sorted by relative path.

    Raises DataError if there are none, or a table to join is missing.
    """
    joined = [path for join in config.join for path in matching_files(join.files, root)]
    for join in config.join:
        if not matching_files(join.files, root):
            raise DataError(f"no table to join matches {join.files!r} below {root}")
    others = {path.resolve() for path in joined}
    files = [path for path in matching_files(config.files, root) if path.resolve() not in others]
    if not files:
        raise DataError(f"no catalogues match {config.files!r} below {root}")
    # What is joined is input as much as the file itself.
    also = tuple(sorted(set(joined)))
    return [part for path in files for part in _parts_of(path, config, root, also)]


def _parts_of(
    path: Path, config: TableConfig, root: Path, also: tuple[Path, ...]
) -> Iterator[Part]:
    key = key_below(path, root)
    state = "+".join(fingerprint(each) for each in (path, *also))
    detail = {"root": str(root)}
    ranges = _ranges(path, config) if path.stat().st_size else []
    if len(ranges) < 2:
        yield Part(key, path, state, detail, also)
        return
    for first, last in ranges:
        groups = {"row_groups": (first, last)}
        yield Part(f"{key}#{first:05d}", path, state, {**detail, **groups}, also)


def _ranges(path: Path, config: TableConfig) -> list[tuple[int, int]]:
    """Return first and last row group of the parts of a large Parquet file."""
    if config.format not in ("auto", "parquet"):
        return []
    with path.open("rb") as file:
        if file.read(4) != b"PAR1":
            return []
    try:
        (table,) = open_tables(path, "parquet", None)
    except DataError:
        return []  # told when it is read
    found: list[tuple[int, int]] = []
    first, rows = 0, 0
    for number, size in enumerate(table.row_groups):
        rows += size
        if rows >= config.rows_per_part or number == len(table.row_groups) - 1:
            found.append((first, number))
            first, rows = number + 1, 0
    return found


def check(part: Part, config: TableConfig) -> Detections:
    """Check that a catalogue and what is joined have the columns, and read its first rows.

    Raises DataError if the file is damaged, lacks what is needed, or holds what cannot be meant.
    """
    root = _root(part, config)
    wanted = wanted_columns(config, None)
    for table in _tables(part, config, wanted):
        own_names(table, config, wanted)
        for name in wanted:
            keyword = config.source(name).keyword if name in config.columns else None
            if keyword is not None and table.keyword(keyword) is None:
                raise DataError(f"{table.label}: has no keyword {keyword} (columns.{name})")
    for join in config.join:
        load_join(join, root)
    return _read(part, config, wanted, HEAD_ROWS)


def read(part: Part, config: TableConfig, columns: Sequence[str] | None = None) -> Detections:
    """Read one catalogue, or some row groups of one: the rows that pass `rows`, in order.

    Columns wanted besides the required ones may be named; by default all are read.

    Raises DataError if the file is damaged, or holds what cannot be meant; the message names file,
    column and row.
    """
    return _read(part, config, wanted_columns(config, columns))


def _read(
    part: Part, config: TableConfig, wanted: Sequence[str], most: int | None = None
) -> Detections:
    """Read a part, of each table `most` rows of the first block at most."""
    root = _root(part, config)
    config = config.model_copy(
        update={"columns": {k: each.in_file(part.path) for k, each in config.columns.items()}}
    )
    groups = part.detail.get("row_groups")
    pieces = [
        _detections(block, config, wanted, part.path.name)
        for table in _tables(part, config, wanted)
        for block in islice(_blocks(table, groups, config, wanted, root, most), 1 if most else None)
    ]
    found = _joined(pieces, config, wanted)
    _refuse_mixed_dates(found, part.path)
    return found


def _tables(part: Part, config: TableConfig, wanted: Sequence[str]) -> Sequence[TableFile]:
    """Return the tables of a part.

    Raises DataError if `hdu` is left open, and several tables of the file have the columns.
    """
    if config.hdu is not None or config.format == "ldac":
        return open_tables(part.path, config.format, config.hdu)
    first, *others = open_tables(part.path, config.format, "all")
    for other in others:
        if _has_columns(other, config, wanted):
            raise DataError(
                f"{part.path}: extensions {first.extension} and {other.extension} both have the"
                " columns; set hdu to the number or name of those to read, or to all"
            )
    return [first]


def _has_columns(table: TableFile, config: TableConfig, wanted: Sequence[str]) -> bool:
    try:
        own_names(table, config, wanted)
    except DataError:
        return False
    return True


def read_rows(
    table: pa.Table, config: TableConfig, columns: Sequence[str] | None, root: Path
) -> Detections:
    """Read rows in memory: those that pass `rows`, in order; `row` counts the table's.

    A table to join is looked for below the root, unless its columns are there already.

    Raises DataError if a column is missing, comes from a file and not from a table, or holds what
    cannot be meant.
    """
    wanted = wanted_columns(config, columns)
    for name in wanted:
        source = config.source(name) if name in (*config.columns, *NEEDED) else None
        if source is not None and (source.keyword or source.filename or source.extension):
            raise DataError(f"columns.{name} comes from a file, of which a table has only the rows")
    left = tuple(join for join in config.join if not set(join.columns) <= set(table.column_names))
    config = config.model_copy(update={"join": left})
    memory = RowsInMemory(table, TABLE)
    blocks = _blocks(memory, None, config, wanted, root, None)
    found = _joined([_detections(block, config, wanted, TABLE) for block in blocks], config, wanted)
    _refuse_mixed_dates(found, Path(TABLE))
    return found


def _joined(pieces: Sequence[Detections], config: TableConfig, wanted: Sequence[str]) -> Detections:
    """Return pieces of detections as one, which has the columns also where there is no row."""
    if not pieces:
        kinds = {column.name: column for column in config.own_columns} | BY_NAME
        return Detections(
            pa.table({name: pa.array([], type=arrow_type(kinds[name].kind)) for name in wanted})
        )
    return Detections.concat(pieces)


def provided(config: TableConfig) -> tuple[tuple[str, ...], tuple[Column, ...]]:
    """Return the columns of the vocabulary that are mapped, and the description's own."""
    names = [name for name in MAPPED if name in config.columns or name in NEEDED]
    return ("band", "file", "extension", "row", "usable", *names), config.own_columns


def wanted_columns(config: TableConfig, columns: Sequence[str] | None) -> list[str]:
    """Return the names of the columns to make; raises DataError if a name is not mapped."""
    mapped_names, own = provided(config)
    every = list(dict.fromkeys([*mapped_names, *(column.name for column in own)]))
    if columns is None:
        return every
    unknown = [name for name in columns if name not in every]
    if unknown:
        raise DataError(f"the description maps no column {', '.join(map(repr, unknown))}")
    return [name for name in every if name in columns or name in Detections.required]


def _root(part: Part, config: TableConfig) -> Path:
    """Return the data root; of a further catalogue it is found by the tables to join."""
    if "root" in part.detail:
        return Path(part.detail["root"])
    patterns = [join.files for join in config.join]
    return root_of(part.path, patterns) if patterns else part.path.parent


def own_names(table: TableFile, config: TableConfig, wanted: Sequence[str]) -> list[str]:
    """Return the columns of the file itself that are needed, as the description calls them.

    Raises DataError if one is missing; the message names near misses.
    """
    joined: set[str] = set()
    needed: dict[str, str] = {}
    for number, join in enumerate(config.join):
        for name in join.on:
            if name not in joined:
                needed.setdefault(name, f"join.{number}.on")
        joined |= set(join.columns)
    for name in wanted:
        if name in BY_NAME and name not in MAPPED:
            continue
        said = f"columns.{name}" if name in config.columns else f"{name}, which is not mapped"
        for column in config.source(name).names:
            needed.setdefault(column, said)
    for cut in config.rows:
        for column in Cut.parse(cut).names:
            needed.setdefault(column, f'the cut "{cut}" of rows')
    for flag in config.flags if "usable" in wanted else ():
        needed.setdefault(flag.column, "flags")
    for column, said in needed.items():
        if column not in joined and table.find(column) is None:
            known = [*table.names, *joined]
            raise DataError(
                f'{table.label}: has no column "{column}" ({said}){did_you_mean(column, known)}'
            )
    return [name for name in needed if name not in joined]


def _blocks(
    table: TableFile,
    groups: tuple[int, int] | None,
    config: TableConfig,
    wanted: Sequence[str],
    root: Path,
    most: int | None,
) -> Iterator[Block]:
    names = own_names(table, config, wanted)
    chosen = None if groups is None else range(groups[0], groups[1] + 1)
    missing = tuple(float(value) for value in config.missing)
    for read in table.blocks(names, chosen):
        block = replace(read, missing=missing)
        block = block if most is None else block.take(np.arange(len(block)) < most)
        for join in config.join:
            block = join_block(block, join, root)
        for cut in config.rows:
            block = block.take(passes(block, cut))
        yield block


def passes(block: Block, text: str) -> Any:
    """Return which rows of a block pass a cut on the table's own columns, shape (n,)."""
    cut = Cut.parse(text)
    labels, flags = _usage(text)
    columns = {}
    for name in cut.names:
        if name in labels:
            columns[name] = block.texts(name)
        elif name in flags:
            columns[name] = block.flags(name)
        elif pa.types.is_integer(block.column(name).type):
            columns[name] = _exact(block.column(name))
        else:
            columns[name] = pa.array(block.numbers(name))
    return cut.evaluate(RawColumns(pa.table(columns)))


def _exact(column: pa.Array) -> pa.Array:
    """Return whole numbers for cuts, exact also for identifiers of 64 bits."""
    if column.type != pa.uint64():
        return column.cast(pa.int64())
    large = pc.any(pc.greater(column, pa.scalar(2**63 - 1, pa.uint64()))).as_py()
    return column.cast(pa.float64(), safe=False) if large else column.cast(pa.int64())


def _usage(text: str) -> tuple[set[str], set[str]]:
    """Return the names that a cut compares with text, and those that it takes as flags."""
    labels, flags = set(), set()
    tree = ast.parse(text.strip(), mode="eval").body
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(
                isinstance(side, ast.Constant) and isinstance(side.value, str) for side in sides
            ):
                labels |= {side.id for side in sides if isinstance(side, ast.Name)}
        operands: list[ast.expr] = []
        if isinstance(node, ast.BoolOp):
            operands = node.values
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            operands = [node.operand]
        flags |= {each.id for each in operands if isinstance(each, ast.Name)}
    if isinstance(tree, ast.Name):
        flags.add(tree.id)
    return labels, flags


def _detections(block: Block, config: TableConfig, wanted: Sequence[str], file: str) -> Detections:
    made: dict[str, Any] = {}
    for name in wanted:
        if name == "file":
            made[name] = pa.DictionaryArray.from_arrays(
                pa.array(np.zeros(len(block), np.int32)), pa.array([file])
            )
        elif name == "extension":
            made[name] = np.full(len(block), block.extension, dtype=np.int16)
        elif name == "row":
            made[name] = block.rows.astype(np.int32)
        elif name == "usable":
            made[name] = usable(block, config)
        else:
            made[name] = mapped(block, config, name)
    return Detections.from_columns(made)


def _refuse_mixed_dates(found: Detections, path: Path) -> None:
    """Refuse a key of visits that stands for exposures of several nights."""
    if not len(found):
        return
    codes, labels = found.codes("visit")
    mjd = found["mjd"]
    low, high = np.full(len(labels), np.inf), np.full(len(labels), -np.inf)
    np.minimum.at(low, codes, mjd)
    np.maximum.at(high, codes, mjd)
    wide = np.flatnonzero(high - low > _VISIT_DAYS)
    if len(wide):
        raise DataError(
            f"{path}: visit {labels[wide[0]]} has dates from {low[wide[0]]:.5f} to"
            f" {high[wide[0]]:.5f}; columns.visit must name single exposures"
        )
