"""Writes simulated stars as Gaia products: Parquet, or the archive's bulk CSV."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from scrframe.builtin.reference_catalogues.gaia.products import COPIED
from scrframe.spectra import BASES, PACKED
from scrframe.tables import SimulatedStars
from scrframe.units import MAG_PER_RELATIVE_FLUX

#: Rows of a row group and of a CSV file of spectra.
GROUP_ROWS = 4000
#: Rows of a Parquet file of spectra.
FILE_ROWS = 16_000
#: What stands in columns that no calibration reads.
SOLUTION_ID = 4545469030156206081
DEGREES_OF_FREEDOM = 931
STANDARD_DEVIATION = 1.0
#: The archive's datatypes where Arrow's names are others, for the header of bulk files.
_ECSV_TYPES = {"double": "float64", "float": "float32", "string": "string"}

Columns = dict[str, pa.Array]


def write_simulated(stars: SimulatedStars, root: Path, gaia_format: str) -> None:
    """Write ``gaia_source/`` and ``gaia_xp/`` below the data root.

    The format is ``parquet``, or ``csv`` for the gzipped ECSV files of the archive's bulk
    download. Coefficients and correlations hold BP, then RP.
    """
    write = _write_csv if gaia_format == "csv" else _write_parquet
    write_sources(stars, root, gaia_format)
    spectra = root / "gaia_xp"
    spectra.mkdir(parents=True, exist_ok=True)
    ids = stars.table.filter(stars.table["has_spectrum"])["source_id"].combine_chunks()
    in_file = GROUP_ROWS if gaia_format == "csv" else FILE_ROWS
    for number, start in enumerate(range(0, len(ids), in_file)):
        rows = range(start, min(start + in_file, len(ids)))
        groups = (
            _spectrum_table(stars, ids, slice(at, min(at + GROUP_ROWS, rows.stop)), gaia_format)
            for at in rows[::GROUP_ROWS]
        )
        name = f"XpContinuousMeanSpectrum_simulated_{number:03d}"
        write(spectra / name, groups, "xp_continuous_mean_spectrum")


def write_sources(stars: SimulatedStars, root: Path, gaia_format: str) -> None:
    """Write ``gaia_source/`` below the data root; parameters are those of `write_simulated`."""
    write = _write_csv if gaia_format == "csv" else _write_parquet
    sources = root / "gaia_source"
    sources.mkdir(parents=True, exist_ok=True)
    table = stars.table
    error = table["reference_mag_err"].to_numpy()
    own_names = {own: archive for archive, own in COPIED.items()}
    written = pa.table(
        {
            "solution_id": np.full(len(table), SOLUTION_ID),
            "source_id": table["source_id"],
            "ref_epoch": np.full(len(table), stars.ref_epoch),
            "ra": table["ref_ra"],
            "dec": table["ref_dec"],
            "pmra": table["pmra"],
            "pmdec": table["pmdec"],
            "phot_g_mean_mag": table["g_mag"],
            "phot_bp_mean_flux_over_error": (MAG_PER_RELATIVE_FLUX / error).astype(np.float32),
            "phot_bp_mean_mag": table["bp_mag"],
            "phot_rp_mean_mag": table["rp_mag"],
            own_names["phot_bp_rp_excess_factor"]: table["phot_bp_rp_excess_factor"],
            "has_xp_continuous": table["has_spectrum"],
        }
    )
    write(sources / "GaiaSource_simulated", iter([written]), "gaia_source")


def _spectrum_table(
    stars: SimulatedStars, ids: pa.Array, rows: slice, gaia_format: str
) -> pa.Table:
    """Return rows of xp_continuous_mean_spectrum, all columns of the archive."""
    count = rows.stop - rows.start
    columns: dict[str, Any] = {"source_id": ids[rows], "solution_id": np.full(count, SOLUTION_ID)}
    for band, at in (("bp", 0), ("rp", 1)):
        numbers = {
            "basis_function_id": np.int16(56),
            "degrees_of_freedom": np.int16(DEGREES_OF_FREEDOM),
            "n_parameters": np.int8(BASES),
            "n_measurements": np.int16(DEGREES_OF_FREEDOM + BASES),
            "n_rejected_measurements": np.int16(0),
            "standard_deviation": np.float32(STANDARD_DEVIATION),
            "chi_squared": np.float32(DEGREES_OF_FREEDOM),
        }
        columns |= {f"{band}_{name}": np.full(count, value) for name, value in numbers.items()}
        columns |= _arrays(stars, band, at, rows, gaia_format == "csv")
        columns[f"{band}_n_relevant_bases"] = np.full(count, BASES, dtype=np.int16)
        columns[f"{band}_relative_shrinking"] = np.zeros(count, dtype=np.float32)
    return pa.table(columns)


def _arrays(stars: SimulatedStars, band: str, at: int, rows: slice, as_text: bool) -> Columns:
    """Return one band's coefficients, errors and correlations, in the archive's precision."""
    of_band = slice(at * BASES, (at + 1) * BASES)
    coefficients = np.ascontiguousarray(stars.coefficients[rows, of_band], dtype=np.float64)
    errors = np.ascontiguousarray(stars.coefficient_errors[rows, of_band], dtype=np.float32)
    packed = stars.correlations[:, at * PACKED : (at + 1) * PACKED].astype(np.float32)
    which = stars.correlation_of[rows]
    written = _text if as_text else _lists
    return {
        f"{band}_coefficients": written(coefficients),
        f"{band}_coefficient_errors": written(errors),
        # There are only a few matrices: as text each is written out once.
        f"{band}_coefficient_correlations": _text(packed).take(pa.array(which))
        if as_text
        else _lists(packed[which]),
    }


def _lists(values: npt.NDArray[Any]) -> pa.Array:
    """Return a matrix as lists of numbers none of which is missing, which reads fastest."""
    rows, width = values.shape
    offsets = pa.array(np.arange(0, rows * width + 1, width, dtype=np.int32))
    element = pa.field("element", pa.from_numpy_dtype(values.dtype), nullable=False)
    return pa.ListArray.from_arrays(offsets, pa.array(values.reshape(-1)), pa.list_(element))


def _text(values: npt.NDArray[Any]) -> pa.Array:
    """Return a matrix as JSON arrays, in the shortest digits that give the same numbers."""
    rows, width = values.shape
    digits = pa.array(values.reshape(-1)).cast(pa.string())
    offsets = pa.array(np.arange(0, rows * width + 1, width, dtype=np.int32))
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, digits), ",")
    return pc.binary_join_element_wise("[", joined, "]", "")


def _write_parquet(path: Path, groups: Iterator[pa.Table], name: str) -> None:
    writer: pq.ParquetWriter | None = None
    try:
        for table in groups:
            if writer is None:
                # Distinct correlation matrices are few: zstd finds the repetition, a
                # dictionary of single numbers would only cost time.
                writer = pq.ParquetWriter(
                    path.with_name(f"{path.name}.parquet"),
                    table.schema,
                    compression="zstd",
                    compression_level=1,
                    use_dictionary=False,
                    write_statistics=["source_id"],
                )
            writer.write_table(table, row_group_size=GROUP_ROWS)
    finally:
        if writer is not None:
            writer.close()


def _write_csv(path: Path, groups: Iterator[pa.Table], name: str) -> None:
    options = pacsv.WriteOptions(include_header=False)
    # No time stamp: the same stars give the same bytes.
    with gzip.GzipFile(path.with_name(f"{path.name}.csv.gz"), "wb", 1, mtime=0) as stream:
        for number, table in enumerate(groups):
            if number == 0:
                stream.write(_ecsv_header(table.schema, name).encode())
            pacsv.write_csv(_true_false(table), stream, options)


def _true_false(table: pa.Table) -> pa.Table:
    """Return truth values as the words that ECSV has for them."""
    for index, item in enumerate(table.schema):
        if pa.types.is_boolean(item.type):
            words = pc.if_else(table.column(index), "True", "False")
            table = table.set_column(index, item.name, words)
    return table


def _ecsv_header(schema: pa.Schema, name: str) -> str:
    units: Mapping[str, str] = {
        "ra": "deg",
        "dec": "deg",
        "pmra": "mas.yr**-1",
        "pmdec": "mas.yr**-1",
        "ref_epoch": "yr",
        "phot_g_mean_mag": "mag",
        "phot_bp_mean_mag": "mag",
        "phot_rp_mean_mag": "mag",
    }
    lines = ["%ECSV 1.0", "---", "delimiter: ','", "meta: !!omap", "- RELEASE: Gaia DR3"]
    lines += [f"- TABLE: {name}", "- DESCRIPTION: simulated", "datatype:"]
    for item in schema:
        kind = _ECSV_TYPES.get(str(item.type), str(item.type))
        lines += ["-", f"  name: {item.name}", f"  datatype: {kind}"]
        if item.name in units:
            lines.append(f"  unit: {units[item.name]}")
    return "".join(f"# {line}\n" for line in lines) + ",".join(schema.names) + "\n"
