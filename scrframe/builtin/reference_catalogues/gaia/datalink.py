"""Tables of Gaia's archive as DataLink packs them: zips, with a file a star, or a row a sample.

A spectrum in which each sample has a row becomes one row with arrays, as in the bulk files. Its
star is named by a column, a keyword or the name of the file.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa

from scrframe.builtin.reference_catalogues.gaia.products import PRODUCTS, SAMPLES_NM
from scrframe.errors import DataError, number_of, printable
from scrframe.io import open_tables
from scrframe.io.block import Block
from scrframe.io.compressed import refuse_bomb
from scrframe.io.table_file import TableFile, lists, one_line
from scrframe.plugin import Part

#: Columns of a spectrum with a row a sample.
_LONG = ("wavelength", "flux", "flux_error")
_STAR = re.compile(r"(\d{6,19}|(?<=DR\d )\d+)(?=\D*$)")
_ZIP = b"PK\x03\x04"
#: Flag of a member of a zip that needs a password (PKWARE APPNOTE 4.4.4, bit 0).
_ENCRYPTED = 1


class ArrowTable(TableFile):
    """A table in memory."""

    def __init__(self, path: Path, table: pa.Table, label: str = "", extension: int = 0) -> None:
        super().__init__(path, table.column_names, {}, label=label, extension=extension)
        self._table = table

    def _read(
        self, names: list[str], row_groups: Sequence[int] | None, wide: bool
    ) -> Iterator[pa.Table]:
        for batch in self._table.select(names).to_batches(512 if wide else None):
            yield pa.Table.from_batches([batch])


def gaia_tables(path: Path) -> Sequence[TableFile]:
    """Return the tables of a file of Gaia's archive.

    Raises DataError if it cannot be read, or a spectrum is not the archive's.
    """
    with path.open("rb") as file:
        zipped = file.read(4) == _ZIP
    if zipped:
        return _of_zip(path)
    return [_by_star(table, path.name) or table for table in open_tables(path, hdu="all")]


def _of_zip(path: Path) -> list[TableFile]:
    """Return the tables of a zip; those of one kind, such as of each star, are one table."""
    found: dict[tuple[str, ...], list[pa.Table]] = {}
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            for member in sorted(archive.infolist(), key=lambda each: each.filename):
                if member.is_dir():
                    continue
                name = PurePosixPath(member.filename).name
                if member.flag_bits & _ENCRYPTED:
                    raise DataError(f"{path}: {printable(name)} is encrypted; unpack it first")
                refuse_bomb(path, member.file_size, member.compress_size)
                file = Path(folder) / "table"
                with archive.open(member) as source, file.open("wb") as target:
                    shutil.copyfileobj(source, target)
                for names, rows in _member(file, name, f"{path}, {name}"):
                    found.setdefault(names, []).extend(rows)
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error, NotImplementedError) as error:
        raise DataError(f"{path}: cannot be read as a zip: {one_line(error)}") from None
    if not found:
        raise DataError(f"{path}: holds no table")
    joined = (
        pa.concat_tables(each, promote_options="permissive") for each in found.values() if each
    )
    return [ArrowTable(path, each, extension=number) for number, each in enumerate(joined)]


def _member(file: Path, name: str, label: str) -> Iterator[tuple[tuple[str, ...], list[pa.Table]]]:
    """Yield columns and rows of the tables of a file of a zip, called by its name there."""
    try:
        for table in open_tables(file, hdu="all"):
            table.label = label
            whole = _by_star(table, name) or table
            yield whole.names, [block.table for block in whole.blocks(whole.names)]
    except DataError as error:
        raise DataError(str(error).replace(str(file), label)) from None


def _by_star(table: TableFile, name: str) -> TableFile | None:
    """Return a spectrum with a row a sample as one row a star; None if the table is none."""
    if not all(map(table.find, _LONG)):
        return None
    known = table.find("source_id")
    blocks = list(table.blocks([*_LONG, *([known] if known else [])]))
    if not blocks:
        return None
    block = blocks[0].concat(blocks)
    wavelength, flux, error = (block.numbers(each) for each in _LONG)
    if known:
        source_id = block.identifiers(known)
    else:
        source_id = np.full(len(block), _star(table, name), dtype=np.int64)
    order = np.lexsort([wavelength, source_id])
    stars = np.unique(source_id)
    whole = len(order) == len(stars) * len(SAMPLES_NM)
    if not whole or (wavelength[order].reshape(len(stars), -1) != SAMPLES_NM).any():
        raise DataError(
            f"{table.label}: {len(block)} samples of {number_of(len(stars), 'star')} are no"
            " spectra at 336, 338, ... 1020 nm"
        )
    columns: Mapping[str, pa.Array] = {
        "source_id": pa.array(stars),
        **{
            each: lists(list(values[order].reshape(len(stars), -1)))
            for each, values in (("flux", flux), ("flux_error", error))
        },
    }
    return ArrowTable(table.path, pa.table(columns), table.label, table.extension)


def _star(table: TableFile, name: str) -> int:
    """Return the identifier of the star of a table, by a keyword or the name of its file."""
    for keyword in ("source_id", "SOURCE_ID", "SOURCEID"):
        value = table.keyword(keyword)
        if value is not None and str(value).strip().isdigit():
            return int(str(value))
    found = _STAR.search(PurePosixPath(name).stem)
    if found is None:
        raise DataError(
            f"{table.label}: neither a column source_id, nor a keyword, nor the name of the file"
            " tells whose spectrum it is"
        )
    return int(found[1])


def opened(part: Part) -> TableFile:
    """Return the table of a part, whose detail names its extension.

    Raises DataError if the file is damaged.
    """
    number = part.detail["extension"]
    if not part.detail.get("packed"):
        (table,) = open_tables(part.path, hdu=number)
        return table
    return next(each for each in gaia_tables(part.path) if each.extension == number)


def blocks(part: Part) -> Iterator[Block]:
    """Yield blocks of rows of a part of a product, its columns called as in the file.

    Raises DataError if the file is damaged.
    """
    wide = PRODUCTS[part.detail["product"]].wide
    names = list(part.detail["columns"].values())
    return opened(part).blocks(names, part.detail["row_groups"], wide=wide)
