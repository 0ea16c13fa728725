"""The columns of what is fetched, and how an answer's become them.

They are those of the archive's products, in the archive's precision, so that what is fetched by
any way reads as a bulk file does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from scrframe.arrays import BoolArray, IntArray
from scrframe.errors import DataError, UnfinishedError
from scrframe.io.block import Block
from scrframe.io.table_file import TableFile
from scrframe.plugin import PluginConfig
from scrframe.plugin.archive import Product
from scrframe.spectra import BASES, PACKED

ID = "source_id"


@dataclass(frozen=True)
class Kept:
    """A column of a product: its kind, and the length of its arrays (0: single values)."""

    name: str
    kind: Literal["double", "float", "int16", "flag"]
    width: int = 0
    required: bool = True


def _spectrum(band: str) -> tuple[Kept, ...]:
    return (
        Kept(f"{band}_coefficients", "double", BASES),
        Kept(f"{band}_coefficient_errors", "float", BASES),
        Kept(f"{band}_coefficient_correlations", "float", PACKED, required=False),
    )


#: The columns of each product besides the identifier.
COLUMNS: Mapping[Product, tuple[Kept, ...]] = {
    "sources": (
        *(Kept(name, "double") for name in ("ref_epoch", "ra", "dec", "pmra", "pmdec")),
        *(Kept(f"phot_{band}_mean_mag", "double") for band in ("g", "bp", "rp")),
        Kept("phot_bp_mean_flux_over_error", "double"),
        Kept("phot_bp_rp_excess_factor", "double"),
        Kept("has_xp_continuous", "flag", required=False),
    ),
    "spectra": (*_spectrum("bp"), *_spectrum("rp")),
    "extinctions": (
        Kept("stellar_params_est", "float", 5),
        Kept("stellar_params_err", "float", 5),
        Kept("quality_flags", "int16"),
    ),
}
#: Bytes of a star of each product in a compact form, and in the archive's text, gzipped.
STAR_BYTES: Mapping[Product, tuple[int, int]] = {
    "sources": (70, 400),
    "spectra": (13_200, 15_000),
    "extinctions": (60, 110),
}
#: Stars a square degree, over the whole sky: of gaia_source with a spectrum, and all.
MEAN_DENSITY = {"with spectra": 219_197_643 / 41_252.96, "all": 1_811_709_771 / 41_252.96}
_TYPES = {"double": pa.float64(), "float": pa.float32(), "int16": pa.int16(), "flag": pa.bool_()}

Names = dict[str, str | list[str]]


class ColumnNames(PluginConfig):
    """Settings that all ways share: which product there is, and what its columns are called."""

    product: Product = Field("sources", description="What the service is asked for.")
    columns: Names = Field(
        default_factory=dict,
        description="Names of columns that differ from the archive's: archive name to own; a list"
        " where single columns stand for the elements of an array.",
    )
    bases: int = Field(BASES, ge=1, description="Coefficients of a band of spectra.")

    def kept(self) -> tuple[Kept, ...]:
        """Return the product's columns, spectra with as many coefficients as the release has."""
        widths = {BASES: self.bases, PACKED: self.bases * (self.bases - 1) // 2}
        return tuple(
            replace(each, width=widths[each.width]) if each.width in widths else each
            for each in COLUMNS[self.product]
        )

    def names(self) -> dict[str, list[str]]:
        """Return the service's columns of each of the product's."""
        found: dict[str, list[str]] = {}
        for name in (ID, *(each.name for each in self.kept())):
            own = self.columns.get(name, name)
            found[name] = [own] if isinstance(own, str) else list(own)
        return found


def gather(
    tables: Iterable[TableFile],
    config: ColumnNames,
    chosen: Callable[[IntArray], BoolArray] | None = None,
) -> tuple[pa.Table, int]:
    """Return the product's columns of the stars chosen, sorted by identifier, and all rows read.

    Parameters
    ----------
    chosen : callable (source_id) -> ndarray of bool, optional
        By default all are.

    Raises
    ------
    DataError
        If a table lacks a column, or holds what it should not.
    UnfinishedError
        If a star is there twice.
    """
    pieces: list[pa.Table] = []
    read = 0
    for table in tables:
        names = {
            name: own
            for name, own in config.names().items()
            if _is_required(config.product, name) or all(map(table.find, own))
        }
        wide = config.product == "spectra"
        for block in table.blocks([one for own in names.values() for one in own], wide=wide):
            read += len(block)
            source_id = block.identifiers(names[ID][0])
            kept = np.ones(len(block), bool) if chosen is None else chosen(source_id)
            if kept.any():
                pieces.append(_columns(block.take(kept), source_id[kept], names, config.kept()))
    whole = pa.concat_tables(pieces) if pieces else empty(config.product)
    order = np.argsort(whole[ID].to_numpy(), kind="stable")
    whole = whole.take(pa.array(order)).combine_chunks()
    ids = whole[ID].to_numpy()
    twice = np.flatnonzero(np.diff(ids) == 0)
    if len(twice):
        raise UnfinishedError(f"star {ids[twice[0]]} is there twice")
    return whole, read


def _is_required(product: Product, name: str) -> bool:
    return name == ID or any(each.name == name and each.required for each in COLUMNS[product])


def _columns(
    block: Block, source_id: IntArray, names: Mapping[str, Sequence[str]], product: Sequence[Kept]
) -> pa.Table:
    columns: dict[str, Any] = {ID: pa.array(source_id)}
    for kept in product:
        own = names.get(kept.name)
        columns[kept.name] = _missing(kept, len(block)) if own is None else _one(block, kept, own)
    return pa.table(columns)


def _one(block: Block, kept: Kept, own: Sequence[str]) -> pa.Array:
    """Return one column of a block, in the product's precision."""
    if kept.kind == "flag":
        return block.flags(own[0]).cast(pa.bool_())
    if kept.kind == "int16":
        return pa.array(block.integers(own[0]).astype(np.int16))
    dtype = np.float64 if kept.kind == "double" else np.float32
    if kept.width:
        values: Any = (
            block.matrix(own[0], kept.width)
            if len(own) == 1
            else np.stack([block.numbers(name) for name in own], axis=1)
        )
        if values.shape[1] != kept.width:
            raise DataError(f"{block.label}: {kept.name} has {values.shape[1]} columns")
        return lists_of(np.ascontiguousarray(values, dtype=dtype))
    return pa.array(block.numbers(own[0]).astype(dtype), from_pandas=True)


def lists_of(values: Any) -> pa.Array:
    """Return a matrix, shape (n, width), as lists."""
    rows, width = values.shape
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * width)
    return pa.ListArray.from_arrays(offsets, pa.array(values.reshape(-1)))


def _missing(kept: Kept, rows: int) -> pa.Array:
    return pa.nulls(rows, _type(kept))


def _type(kept: Kept) -> pa.DataType:
    return pa.list_(_TYPES[kept.kind]) if kept.width else _TYPES[kept.kind]


def empty(product: Product) -> pa.Table:
    """Return the table of a product without a row."""
    fields = [pa.field(ID, pa.int64()), *(pa.field(k.name, _type(k)) for k in COLUMNS[product])]
    return pa.schema(fields).empty_table()
