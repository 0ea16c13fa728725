"""Simulated tables on disk, in the layout and format that a description tells.

A visit goes into a file of its own where `files` is a pattern. Where it names one file, and
for tables to join, the visits wait in a folder until all are written. The same input gives the
same bytes.
"""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from scrframe.builtin.survey_loaders.table.settings import Join, TableConfig
from scrframe.io import ENDINGS, format_of_name
from scrframe.io.votable import write_votable

#: Rows of a row group: small, so that also small surveys have several.
_ROW_GROUP = 100_000
_WILD = re.compile(r"\*+|\?|\[[^]]*\]")


def file_name(config: TableConfig, number: int) -> str:
    """Return the path of a visit's file below the data root."""
    return resolved(config.files, f"visit_{number:05d}", config.format)


def is_single(config: TableConfig) -> bool:
    """Return whether `files` names one file, rather than a pattern or a directory."""
    name = PurePosixPath(config.files).name
    return _WILD.search(config.files) is None and (
        format_of_name(name) is not None and not config.files.endswith("/")
    )


def resolved(pattern: str, name: str, file_format: str) -> str:
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


def wait(folder: Path, number: int, table: pa.Table) -> None:
    """Keep what a visit adds to a file of several visits."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / f"{number:06d}.parquet")


def waited(folder: Path) -> pa.Table:
    """Return what was kept, in the order of the visits."""
    tables = [pq.read_table(path, partitioning=None) for path in sorted(folder.iterdir())]
    return pa.concat_tables(tables, promote_options="permissive").combine_chunks()


def partner(table: pa.Table, join: Join) -> pa.Table:
    """Return the rows that a visit needs in a table to join, under its own names."""
    columns = {right: table.column(left) for left, right in join.on.items()}
    columns |= {old: table.column(new) for new, old in join.columns.items()}
    return distinct(pa.table(columns))


def distinct(table: pa.Table) -> pa.Table:
    """Return each row once, in the order of their first appearance."""
    number = pa.array(range(len(table)))
    names = table.column_names
    grouped = table.append_column("", number).group_by(names, use_threads=False)
    first = grouped.aggregate([("", "min")]).column("_min").sort()
    return table.take(first)


def write_table(
    path: Path, table: pa.Table, config: TableConfig, headers: Mapping[str, Any]
) -> None:
    """Write a table in the format that its name or the description tells.

    Parameters
    ----------
    config : TableConfig
        Its `format` and `hdu`.
    headers : mapping of str to value or ndarray, shape (n,)
        Keywords of FITS extensions.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = format_of_name(path.name) if config.format == "auto" else config.format
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=_ROW_GROUP, compression="zstd")
        return
    buffer = io.BytesIO()
    if kind in (None, "csv"):
        pacsv.write_csv(table, buffer)
    elif kind == "ecsv":
        text = io.StringIO()
        _astropy(table).write(text, format="ascii.ecsv")
        buffer.write(text.getvalue().encode())
    elif kind == "votable":
        write_votable(_astropy(table), buffer)
    else:
        _write_fits(buffer, table, config, headers)
    data = buffer.getvalue()
    if path.name.lower().endswith(".gz"):
        data = gzip.compress(data, compresslevel=4, mtime=0)
    path.write_bytes(data)


def _astropy(table: pa.Table) -> Any:
    from astropy.table import Table  # noqa: PLC0415 - slow to import

    return Table({name: _numpy(table.column(name)) for name in table.column_names})


def _numpy(column: pa.ChunkedArray) -> Any:
    if pa.types.is_floating(column.type):
        return np.asarray(column.fill_null(float("nan")).to_numpy())
    if pa.types.is_string(column.type):
        return np.array(column.fill_null("").to_pylist(), dtype=str)
    return np.asarray(column.to_numpy())


def _write_fits(
    buffer: io.BytesIO, table: pa.Table, config: TableConfig, headers: Mapping[str, Any]
) -> None:
    from astropy.io import fits  # noqa: PLC0415 - slow to import

    hdus: list[Any] = [fits.PrimaryHDU()]
    for rows in _extensions(table, config, headers):
        if isinstance(config.hdu, int):
            hdus += [fits.ImageHDU() for _ in range(config.hdu - 1)]
        hdu = fits.table_to_hdu(_astropy(table.take(pa.array(rows))))
        if isinstance(config.hdu, str) and config.hdu != "all":
            hdu.header["EXTNAME"] = config.hdu
        cards = hdu.header
        if config.format == "ldac":
            hdu.header["EXTNAME"] = "LDAC_OBJECTS"
            cards = fits.Header()
        for keyword, values in headers.items():
            if keyword == "extension":  # that of the file itself
                continue
            array = np.atleast_1d(np.asarray(values))
            if len(rows) or len(array) == 1:
                value = array[rows[0] if len(array) > 1 else 0]
                key = keyword if len(keyword) <= 8 else f"HIERARCH {keyword}"
                cards[key] = value.item() if isinstance(value, np.generic) else value
        if config.format == "ldac":
            text = cards.tostring(padding=False)
            image = fits.Column("Field Header Card", f"{len(text)}A", array=np.array([text]))
            hdus.append(fits.BinTableHDU.from_columns([image], name="LDAC_IMHEAD"))
        hdus.append(hdu)
    fits.HDUList(hdus).writeto(buffer)


def _extensions(
    table: pa.Table, config: TableConfig, headers: Mapping[str, Any]
) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the rows of each extension: all, or those of each detector."""
    every = np.arange(table.num_rows)
    if config.hdu != "all" and config.format != "ldac":
        yield every
        return
    source = config.source("ccd")
    if source.column is not None:
        ccd = np.asarray(table.column(source.column))
    else:
        ccd = np.asarray(headers[source.keyword or "extension"])
    # With the number of the extension as that of the detector, none may be left out.
    wanted = range(1, int(ccd.max()) + 1) if source.extension else np.unique(ccd)
    for number in wanted:
        yield every[ccd == number]
