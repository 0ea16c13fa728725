"""Corrected catalogues in the format of the input, with columns appended row by row.

All rows, columns and metadata of the input stay; the columns are those of the writer of
FITS catalogues, which writes the FITS files here too. What stands in a CSV, ECSV or VOTable
stays as it is written there. Rows that are no detections (another
band, say) have no value in them, and the flag ``no_magnitude``.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

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
from scrframe.io.fits import is_gzipped
from scrframe.io.parquet import for_astropy
from scrframe.io.text import Header, open_text, read_header, readable
from scrframe.io.votable import parse_votable
from scrframe.plugin import NoConfig, Part
from scrframe.tables import Corrections, Detections
from scrframe.version import __version__

SUFFIXES = tuple(ending for endings in ENDINGS.values() for ending in endings)
#: Fast, and within a few per cent of the size at the usual level.
_GZIP_LEVEL = 4
_BLOCK_ROWS = 200_000


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

    The contract is that of `scrframe.plugin.Writer.write`. A part of a Parquet file becomes a
    file of its own, of these rows, with the number of its first row group in its name.

    Raises DataError if the file is damaged, is corrected already, or does not hold the detections.
    """
    kind = detect_format(part.path)
    if kind == "fits":
        return write_fits(part, detections, corrections, root, out, config, note)
    if kind != "parquet" and kind not in _TEXT_FORMATS:
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
    added = Added(
        columns,
        detections["row"].astype(np.int64),
        facts,
        tuple(history(columns, corrections.reference_colour_mag)),
    )
    if kind == "parquet":
        return [_write_parquet(part, target, added)]
    return [_TEXT_FORMATS[kind](part.path, target, added)]


def _write_parquet(part: Part, target: Path, added: Added) -> Path:
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
    used = meta.row_group(0).column(0).compression if meta.num_row_groups else "SNAPPY"
    lengths = _text_lengths(file, chosen)
    whole = whole.with_metadata(
        {**whole.metadata, **_encoded(for_astropy(whole, lengths, target.name))}
    )
    compression = {"UNCOMPRESSED": "none"}.get(used, used.lower())
    with pq.ParquetWriter(target, whole, compression=compression) as writer:
        for number in chosen:
            rows = file.read_row_group(number, use_threads=False)
            spread = added.spread(rows.num_rows, target.name, first)
            arrays = [*rows.columns, *(pa.array(values) for values in spread.values())]
            writer.write_table(pa.Table.from_arrays(arrays, schema=whole))
            first += rows.num_rows


def _text_lengths(file: Any, groups: Iterable[int]) -> dict[str, int]:
    """Return how long the longest value of each column of text is, 1 at least."""
    kinds = (pa.types.is_string, pa.types.is_large_string)
    schema = file.schema_arrow
    names = [field.name for field in schema if any(kind(field.type) for kind in kinds)]
    longest = dict.fromkeys(names, 1)
    for number in groups if names else ():
        rows = file.read_row_group(number, columns=names, use_threads=False)
        for name in names:
            found = pc.max(pc.utf8_length(rows.column(name))).as_py()
            longest[name] = max(longest[name], found or 0)
    return longest


def _encoded(facts: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in facts.items()}


def write_csv(source: Path, target: Path, added: Added) -> Path:
    """Write a CSV file with columns appended to each line; an empty field is no value.

    Raises DataError if the file is damaged, or texts with line breaks stand in it.
    """
    known = read_header(source)
    added.check(known.names, source)
    with readable(source), open_text(source) as lines, _written(source, target) as sink:
        above = [next(lines) for _ in range(known.above)]
        end = "\r\n" if above and above[-1].endswith("\r\n") else "\n"
        sink.write("".join(_header(known, above, added, end, source)).encode())
        rows = _append(lines, sink, added, known.delimiter, end, source)
    added.check_length(rows, source)
    return target


def _header(known: Header, above: list[str], added: Added, end: str, source: Path) -> Iterator[str]:
    """Yield the lines above the data, with the names of the columns added."""
    units = {name: "" if name in WHOLE else "mag" for name in added.columns}
    if known.numbered:
        yield from above
        for number, (name, unit) in enumerate(units.items(), start=len(known.names) + 1):
            yield f"# {number:3d} {name:<22} {about(name)}" + f" [{unit}]" * bool(unit) + end
        return
    if known.line is None:
        raise DataError(f"{source}: has no line of names, to which columns could be added")
    below = [list(units), ["-----"] * len(units)][: len(above) - known.line]
    if len(above) - known.line == 3:  # names, units, dashes
        below.insert(1, list(units.values()))
    for number, line in enumerate(above):
        at = number - known.line
        more = below[at] if 0 <= at < (1 if known.in_comment else len(below)) else None
        yield line if more is None else known.delimiter.join([line.rstrip("\r\n"), *more]) + end


def write_ecsv(source: Path, target: Path, added: Added) -> Path:
    """Write an ECSV file with columns appended; its header keeps all that it says.

    Raises DataError if the file is damaged.
    """
    from astropy.table import Table  # noqa: PLC0415 - slow to import

    with readable(source):
        try:
            table = Table.read(source, format="ascii.ecsv")
        except (ValueError, TypeError, KeyError) as error:
            said = " ".join(str(error).split())[:200]
            raise DataError(f"{source}: cannot be read as ECSV: {said}") from None
    added.check(table.colnames, source)
    added.check_length(len(table), source)
    for name, values in added.spread(len(table), source).items():
        table[name] = values
        table[name].description = about(name)
        if name not in WHOLE:
            table[name].unit = "mag"
    table.meta |= {**added.facts, "scrframe_columns": list(added.about)}
    text = io.StringIO()
    table.write(text, format="ascii.ecsv", delimiter=read_header(source).delimiter)
    with _written(source, target) as sink:
        sink.write(text.getvalue().encode())
    return target


def write_votable(source: Path, target: Path, added: Added) -> Path:
    """Write a VOTable with fields appended to its first table; all else stays.

    Raises DataError if the file is damaged.
    """
    from astropy.io.votable.tree import Field, Info  # noqa: PLC0415 - slow to import

    votable = parse_votable(source)
    table = votable.get_first_table()
    added.check([field.name for field in table.fields], source)
    old = table.array
    added.check_length(len(old), source)
    names = list(old.dtype.names or ())
    for name in added.columns:
        facts: dict[str, Any] = {} if name in WHOLE else {"unit": "mag"}
        kind = {"f": "double", "i": "int"}[kind_of(name).kind]
        kind = "short" if kind_of(name).itemsize == 2 else kind
        field = Field(votable, name=name, datatype=kind, **facts)
        field.description = about(name)
        table.fields.append(field)
    table.create_arrays(len(old))
    for name in names:
        table.array[name] = old[name]
        table.array.mask[name] = old.mask[name]
    for name, values in added.spread(len(old), source).items():
        table.array[name] = values
        table.array.mask[name] = np.isnan(values) if values.dtype.kind == "f" else False
    for name, value in added.facts.items():
        table.infos.append(Info(name=name, value=value))
    table.infos.append(Info(name="scrframe_columns", value="; ".join(added.about)))
    votable.to_xml(str(target), compressed=is_gzipped(source))
    return target


@contextmanager
def _written(source: Path, target: Path) -> Iterator[Any]:
    """Open the output; it is gzipped if the input is."""
    with target.open("wb") as raw:
        if not is_gzipped(source):
            yield raw
            return
        # No time stamp: the same input gives the same bytes.
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as sink:
            yield sink


def _append(
    lines: Iterable[str], sink: Any, added: Added, delimiter: str, end: str, source: Path
) -> int:
    """Write the rows block by block, and return their number."""
    first = 0
    rest = (line.rstrip("\r\n") for line in lines)
    # The reader skips empty lines, and so they are no rows.
    rest = (line for line in rest if line)
    while block := list(islice(rest, _BLOCK_ROWS)):
        if any(line.count('"') % 2 for line in block):
            raise DataError(
                f"{source}: has texts with line breaks, which this writer cannot write back"
            )
        # NaN is an empty field, which blanks cannot separate.
        empty = delimiter != " "
        table = pa.table(
            {
                name: pa.array(values, from_pandas=empty)
                for name, values in added.spread(len(block), source, first).items()
            }
        )
        buffer = io.BytesIO()
        pacsv.write_csv(
            table, buffer, pacsv.WriteOptions(include_header=False, delimiter=delimiter)
        )
        further = buffer.getvalue().decode().split("\n")[:-1]
        pairs = map(delimiter.join, zip(block, further, strict=True))
        sink.write((end.join(pairs) + end).encode())
        first += len(block)
    return first


_TEXT_FORMATS: Mapping[str, Callable[[Path, Path, Added], Path]] = {
    "csv": write_csv,
    "ecsv": write_ecsv,
    "votable": write_votable,
}
