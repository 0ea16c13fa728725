"""Corrected catalogues in the format of the input, with columns appended row by row.

All rows, columns and metadata of the input stay; the columns are those of the writer of
FITS catalogues, which writes the FITS files here too. Rows that are no detections (another
band, say) have no value in them, and the flag ``no_magnitude``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from scrframe.builtin.writers.columns import (
    WHOLE,
    Added,
    about,
    corrected_columns,
    history,
    kind_of,
    place_below,
)
from scrframe.builtin.writers.fits_catalogue import write as write_fits
from scrframe.errors import DataError
from scrframe.io import ENDINGS, detect_format
from scrframe.plugin import NoConfig, Part
from scrframe.tables import Corrections, Detections
from scrframe.version import __version__

SUFFIXES = tuple(ending for endings in ENDINGS.values() for ending in endings)


def write(
    part: Part,
    detections: Detections,
    corrections: Corrections,
    root: Path,
    out: Path,
    config: NoConfig,
    note: str,
) -> list[Path]:
    """Write one corrected catalogue below `out` and return its path.

    A part of a Parquet file becomes a file of its own, of these rows, with the number of
    its first row group in its name.

    Parameters
    ----------
    part : Part
    detections : Detections
        Those of the part, which name their rows.
    corrections : Corrections
        In the same order.
    root : Path
        Data root; the path relative to it is kept.
    out : Path
    config : NoConfig
        There are no settings.
    note : str
        Said in the metadata; empty for none.

    Raises
    ------
    DataError
        If the file is damaged, is corrected already, or does not hold the detections.
    """
    kind = detect_format(part.path)
    if kind == "fits":
        return write_fits(part, detections, corrections, root, out, config, note)
    if kind not in _FORMATS:
        raise DataError(f"{part.path}: tables in HDF5 are read, but not written back")
    target = out / place_below(part.path, root)
    if target.exists() and target.samefile(part.path):
        raise DataError(f"{target} is the input itself; choose another output directory")
    target.parent.mkdir(parents=True, exist_ok=True)
    columns = corrected_columns(detections, corrections)
    visits = len(np.unique(detections.codes("visit")[0]))
    facts = {
        "scrframe_version": __version__,
        "magnitude_system": corrections.system,
        "scrframe_visits": str(visits),
        **({"data_note": note} if note else {}),
    }
    added = Added(columns, detections["row"].astype(np.int64), facts, tuple(history(columns)))
    return [_FORMATS[kind](part, target, added)]


def _parquet(part: Part, target: Path, added: Added) -> Path:
    """Write row group by row group, in the compression of the input."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - only for such files

    groups = part.detail.get("row_groups")
    if groups is not None:
        target = target.with_name(f"{target.stem}.{groups[0]:05d}{target.suffix}")
    try:
        with pq.ParquetFile(part.path, memory_map=True) as file:
            _parquet_rows(pq, file, groups, target, added)
    except (OSError, pa.ArrowException) as error:
        said = " ".join(str(error).split())[:200]
        raise DataError(f"{part.path}: is not a readable Parquet file: {said}") from None
    return target


def _parquet_rows(
    pq: Any, file: Any, groups: tuple[int, int] | None, target: Path, added: Added
) -> None:
    meta, schema = file.metadata, file.schema_arrow
    added.check(schema.names, target.name)
    added.check_length(meta.num_rows, target.name)
    facts = {**added.facts, "scrframe_columns": "\n".join(added.about)}
    whole = schema.with_metadata({**(schema.metadata or {}), **_encoded(facts)})
    for name in added.columns:
        said = {"description": about(name)} | ({} if name in WHOLE else {"unit": "mag"})
        whole = whole.append(
            pa.field(name, pa.from_numpy_dtype(kind_of(name)), metadata=_encoded(said))
        )
    chosen = range(meta.num_row_groups) if groups is None else range(groups[0], groups[1] + 1)
    first = sum(meta.row_group(number).num_rows for number in range(chosen.start))
    with pq.ParquetWriter(target, whole, compression=_compression(meta)) as writer:
        for number in chosen:
            rows = file.read_row_group(number, use_threads=False)
            spread = added.spread(rows.num_rows, target.name, first)
            arrays = [*rows.columns, *(pa.array(values) for values in spread.values())]
            writer.write_table(pa.Table.from_arrays(arrays, schema=whole))
            first += rows.num_rows


def _compression(meta: Any) -> str:
    used = meta.row_group(0).column(0).compression if meta.num_row_groups else "SNAPPY"
    return {"UNCOMPRESSED": "none"}.get(used, used.lower())


def _encoded(facts: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in facts.items()}


def _csv(part: Part, target: Path, added: Added) -> Path:
    from scrframe.builtin.writers.table_text import write_csv  # noqa: PLC0415 - only for such files

    return write_csv(part.path, target, added)


def _ecsv(part: Part, target: Path, added: Added) -> Path:
    from scrframe.builtin.writers.table_text import write_ecsv  # noqa: PLC0415 - slow to import

    return write_ecsv(part.path, target, added)


def _votable(part: Part, target: Path, added: Added) -> Path:
    from scrframe.builtin.writers.table_text import write_votable  # noqa: PLC0415 - slow

    return write_votable(part.path, target, added)


_FORMATS: Mapping[str, Callable[[Part, Path, Added], Path]] = {
    "parquet": _parquet,
    "csv": _csv,
    "ecsv": _ecsv,
    "votable": _votable,
}
