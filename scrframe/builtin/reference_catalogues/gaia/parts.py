"""Finds the files of the Gaia products, by content, and cuts them into parts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scrframe.builtin.reference_catalogues.gaia.datalink import ArrowTable, blocks, gaia_tables
from scrframe.builtin.reference_catalogues.gaia.products import (
    CONTINUOUS_COLUMNS,
    PRODUCTS,
    SOURCE,
    SPECTRA,
    WIDTHS,
    GaiaXpConfig,
    Product,
)
from scrframe.builtin.reference_catalogues.gaia.releases import operator_file, sampled_operator
from scrframe.errors import DataError, named, number_of
from scrframe.io import key_below, matching_files
from scrframe.io.parquet import ParquetTable
from scrframe.io.table_file import TableFile
from scrframe.plugin import Part, file_part

#: Rows of a part of a Parquet file, about; fixed, so that parts do not depend on workers.
PART_ROWS = 8_000
#: Rows that a check reads.
_CHECKED_ROWS = 20
#: Bulk files name the range of HEALPix pixels of level 8 that they hold.
_BULK_NAME = re.compile(r"_(\d{6})-(\d{6})\.csv")
_HEALPIX_SHIFT = 43


def source_parts(config: GaiaXpConfig, root: Path) -> list[Part]:
    """Return the parts of gaia_source.

    Raises DataError if there is none, or a file is not a Gaia product.
    """
    tables = _classified(config.sources, "sources", [SOURCE], config, root)
    return [part for _, table in tables for part in _cut(table, SOURCE, config, root)]


def feature_parts(config: GaiaXpConfig, root: Path) -> list[Part]:
    """Return the parts of the XP spectra, continuous or sampled.

    Raises DataError if there is none, both products are there and none is chosen, or the release
    has no operator.
    """
    sought = list(SPECTRA.values()) if config.product == "auto" else [SPECTRA[config.product]]
    tables = _classified(config.spectra, "spectra", sought, config, root)
    kinds = {product.name for product, _ in tables}
    if len(kinds) > 1:
        raise DataError(
            f"{root / config.spectra}: both continuous and sampled spectra are there;"
            " set gaia_xp.product to the one to read"
        )
    continuous = SPECTRA["continuous"].name in kinds
    file = operator_file(config.release, config.operator, root) if continuous else ""
    found = (part for product, table in tables for part in _cut(table, product, config, root))
    if not file:
        return list(found)
    return [
        replace(part, detail={**part.detail, "operator": file}, also=(*part.also, Path(file)))
        for part in found
    ]


def check(part: Part, config: GaiaXpConfig) -> None:
    """Read the first rows of a part; raises DataError where that fails."""
    widths = dict(WIDTHS)
    if part.detail.get("operator"):
        operator = sampled_operator(part.detail["operator"])
        for name in CONTINUOUS_COLUMNS:
            widths[name] = operator.packed if "correlations" in name else operator.bases
    for whole in blocks(part):
        block = whole.take(np.arange(len(whole)) < _CHECKED_ROWS)
        for name, own in part.detail["columns"].items():
            if name == "source_id":
                block.identifiers(own)
            elif name == "has_xp_continuous":
                block.flags(own)
            elif name in widths:
                block.matrix(own, widths[name])
            else:
                block.numbers(own)
        return


def may_hold(part: Part, first: int, last: int) -> bool:
    """Tell whether a part can hold identifiers from `first` to `last`."""
    bounds = part.detail["bounds"]
    return bounds is None or (bounds[0] <= last and bounds[1] >= first)


def _classified(
    pattern: str, key: str, sought: Sequence[Product], config: GaiaXpConfig, root: Path
) -> list[tuple[Product, TableFile]]:
    files = matching_files(pattern, root)
    if not files:
        raise DataError(
            f"{root / pattern}: no file of {' or '.join(item.name for item in sought)};"
            f" put the files there or set gaia_xp.{key}"
        )
    found = [
        (product, table)
        for path in files
        for product, table in _of_file(path, sought, config)
        if product in sought
    ]
    if not found:
        raise DataError(
            f"{root / pattern}: {number_of(len(files), 'file')}, but none of"
            f" {' or '.join(item.name for item in sought)}; set gaia_xp.{key}"
        )
    return found


def _of_file(
    path: Path, sought: Sequence[Product], config: GaiaXpConfig
) -> Iterator[tuple[Product, TableFile]]:
    """Yield the tables of a file that are a Gaia product, at least one."""
    tables = gaia_tables(path)
    known = [
        (product, table)
        for table in tables
        for product in _order(sought)
        if not product.missing(table, config.columns)
    ]
    if not known:
        raise DataError(_lacks(tables, sought, config))
    seen: set[int] = set()
    for product, table in known:
        if table.extension not in seen:  # one that is two products counts as the one sought
            seen.add(table.extension)
            yield product, table


def _order(sought: Sequence[Product]) -> list[Product]:
    return [*sought, *(item for item in PRODUCTS.values() if item not in sought)]


def _lacks(tables: Sequence[TableFile], sought: Sequence[Product], config: GaiaXpConfig) -> str:
    """Say what the nearest table lacks to be the nearest product."""
    missing, product, table = min(
        ((item.missing(each, config.columns), item, each) for each in tables for item in sought),
        key=lambda entry: len(entry[0]) / len(entry[1].required),
    )
    return (
        f"{table.label}: is no {product.name}: it lacks the {named('column', missing)};"
        " rename them in gaia_xp.columns or move the file away"
    )


def _cut(table: TableFile, product: Product, config: GaiaXpConfig, root: Path) -> Iterator[Part]:
    """Yield the parts of one table."""
    columns = product.columns(table, config.columns)
    for suffix, groups, bounds in _pieces(table, columns["source_id"]):
        detail: dict[str, Any] = {
            "product": product.name,
            "columns": columns,
            "extension": table.extension,
            "packed": isinstance(table, ArrowTable),
            "row_groups": groups,
            "bounds": bounds,
        }
        key = key_below(table.path, root) + suffix
        yield replace(file_part(table.path, key), detail=detail)


Piece = tuple[str, tuple[int, ...] | None, tuple[int, int] | None]


def _pieces(table: TableFile, id_column: str) -> Iterator[Piece]:
    """Yield the pieces of a table; of Parquet, row groups of about `PART_ROWS` rows in all."""
    if not isinstance(table, ParquetTable):
        suffix = f"#hdu{table.extension}" if table.extension else ""
        yield suffix, None, named_bounds(table.path.name)
        return
    limits = table.bounds(id_column)
    groups: list[int] = []
    rows = 0
    last = len(table.row_groups) - 1
    for index, count in enumerate(table.row_groups):
        groups.append(index)
        rows += count
        if rows >= PART_ROWS or index == last:
            known = [limit for group in groups if (limit := limits[group]) is not None]
            whole = len(known) == len(groups)
            hull = (min(low for low, _ in known), max(high for _, high in known)) if whole else None
            yield f"#{groups[0]}-{groups[-1]}", tuple(groups), hull
            groups, rows = [], 0


def named_bounds(name: str) -> tuple[int, int] | None:
    """Return the range of identifiers that a bulk file's name states."""
    found = _BULK_NAME.search(name)
    if not found:
        return None
    first, last = int(found[1]), int(found[2])
    return first << _HEALPIX_SHIFT, ((last + 1) << _HEALPIX_SHIFT) - 1
