"""Simulated visits in the layout that a description tells: its mapping the other way round.

A visit goes into a file of its own where `files` is a pattern. Where it names one file, and
for tables to join, the visits wait in a folder until all are written.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from scrframe.builtin.survey_loaders.table.inverse import invert
from scrframe.builtin.survey_loaders.table.settings import Join, TableConfig
from scrframe.builtin.survey_loaders.table.writing import write_table
from scrframe.errors import PluginError
from scrframe.io import ENDINGS, format_of_name
from scrframe.tables import SimulatedVisit

#: Where visits wait.
_WAITING = ".simulated"
_WILD = re.compile(r"\*+|\?|\[[^]]*\]")


def write_simulated(visit: SimulatedVisit, root: Path, config: TableConfig) -> Path:
    """Write a simulated visit such that the description reads it, and return its file.

    Parameters
    ----------
    visit : SimulatedVisit
    root : Path
        Data root.
    config : TableConfig
        The description's mapping.

    Raises
    ------
    PluginError
        If the mapping cannot be turned round.
    """
    inverse = invert(visit, config)
    joined = {name for join in config.join for name in join.columns}
    own = [name for name in inverse.table.column_names if name not in joined]
    main = inverse.table.select(own)
    for number, join in enumerate(config.join):
        _wait(root, f"join{number}", visit.number, _partner(inverse.table, join))
    path = root / file_name(config, visit.number)
    if _is_single(config):
        _wait(root, "main", visit.number, main)
    else:
        write_table(path, main, config, inverse.headers)
    return path


def close_simulated(root: Path, config: TableConfig) -> None:
    """Write the files that hold several visits.

    Raises
    ------
    PluginError
        If a table to join would need two rows of one key.
    """
    folder = root / _WAITING
    if _is_single(config) and (folder / "main").is_dir():
        write_table(root / file_name(config, 0), _waited(folder / "main"), config, {})
    for number, join in enumerate(config.join):
        table = _each_once(_waited(folder / f"join{number}"), join)
        plain = TableConfig(format=join.format, hdu=join.hdu)
        write_table(root / _resolved(join.files, "simulated", join.format), table, plain, {})
    shutil.rmtree(folder, ignore_errors=True)


def file_name(config: TableConfig, number: int) -> str:
    """Return the path of a visit's file below the data root."""
    return _resolved(config.files, f"visit_{number:05d}", config.format)


def _is_single(config: TableConfig) -> bool:
    """Return whether `files` names one file, rather than a pattern or a directory."""
    name = PurePosixPath(config.files).name
    return _WILD.search(config.files) is None and (
        format_of_name(name) is not None and not config.files.endswith("/")
    )


def _resolved(pattern: str, name: str, file_format: str) -> str:
    """Return a path that matches a pattern; of a directory, a file in it."""
    *folders, last = [step for step in pattern.split("/") if step and step != "**"]
    steps = [_WILD.sub("simulated", step) for step in folders]
    if _WILD.search(last):
        first, *rest = _WILD.split(last)
        made = f"{first}{name}{''.join(rest)}"
    elif format_of_name(last) is not None and not pattern.endswith("/"):
        made = last
    else:
        steps.append(last)
        made = name
    if format_of_name(made) is None:
        made += ENDINGS["parquet" if file_format == "auto" else file_format][0]
    return "/".join([*steps, made])


def _wait(root: Path, what: str, number: int, table: pa.Table) -> None:
    folder = root / _WAITING / what
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / f"{number:06d}.parquet")


def _waited(folder: Path) -> pa.Table:
    tables = [pq.read_table(path, partitioning=None) for path in sorted(folder.iterdir())]
    return pa.concat_tables(tables, promote_options="permissive").combine_chunks()


def _partner(table: pa.Table, join: Join) -> pa.Table:
    """Return the rows that a visit needs in a table to join, under its own names."""
    columns = {right: table.column(left) for left, right in join.on.items()}
    columns |= {old: table.column(new) for new, old in join.columns.items()}
    return _distinct(pa.table(columns))


def _distinct(table: pa.Table) -> pa.Table:
    """Return each row once, in the order of their first appearance."""
    number = pa.array(range(len(table)))
    names = table.column_names
    grouped = table.append_column("", number).group_by(names, use_threads=False)
    first = grouped.aggregate([("", "min")]).column("_min").sort()
    return table.take(first)


def _each_once(table: pa.Table, join: Join) -> pa.Table:
    table = _distinct(table)
    keys = table.select(list(join.on.values()))
    if len(_distinct(keys)) < len(table):
        said = ", ".join(join.on.values())
        raise PluginError(
            f"loader table: cannot simulate {join.files}: it would need several rows of one"
            f" {said}, since columns taken from it differ between detections or visits of that key"
        )
    return table
