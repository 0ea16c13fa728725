"""The catalogue of Zhang, Green & Rix 2023: HDF5 files with a dataset a column."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from scrframe.errors import DataError
from scrframe.plugin import Part, PluginConfig, file_part
from scrframe.statistics.groups import first_rows
from scrframe.tables import Extinctions, SimulatedStars

Ids = npt.NDArray[np.int64]
Columns = dict[str, npt.NDArray[Any]]

#: Rows read at a time; a file of the catalogue has 22 million.
BLOCK_ROWS = 500_000
ID = "gdr3_source_id"
ESTIMATES, ERRORS, QUALITY = "stellar_params_est", "stellar_params_err", "quality_flags"
#: Columns of the estimates and of their errors.
TEFF_KK, FEH, LOGG, EXTINCTION, PARALLAX = range(5)
COLUMNS = (
    "source_id",
    "extinction",
    "extinction_err",
    "quality_flags",
    "teff",
    "logg",
    "feh",
)
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


class Zgr23Config(PluginConfig):
    """Where the catalogue is."""

    files: str = Field("zgr23/*.h5", description="Files of the catalogue, below the data root.")


def parts(config: Zgr23Config, root: Path) -> list[Part]:
    """Return a part for every file.

    Raises
    ------
    DataError
        If there is none, or a file is not the catalogue.
    """
    anchor = Path(config.files).anchor  # an absolute pattern does not start at the root
    files = sorted(Path(anchor or root).glob(config.files.removeprefix(anchor)))
    if not files:
        raise DataError(
            f"{root / config.files}: no file of ZGR23; put the files there or set zgr23.files"
        )
    found = []
    for path in files:
        with _opened(path):
            pass  # refuses what is no catalogue
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
        found.append(file_part(path, name))
    return found


def check(part: Part, config: Zgr23Config) -> None:
    """Read the first rows of a part; raises DataError where that fails."""
    with _opened(part.path) as file:
        _rows(file, 0, 1)


def read(part: Part, config: Zgr23Config, source_id: Ids) -> Extinctions:
    """Read the extinctions of the stars given; a star that is not there is absent.

    Parameters
    ----------
    part : Part
        A file.
    config : Zgr23Config
        The settings.
    source_id : ndarray of int64, shape (n,)
        The stars wanted, ascending.

    Returns
    -------
    Extinctions
        At most one row a star, in file order; ``teff`` in K.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    found: list[Columns] = []
    seen = np.zeros(len(source_id), dtype=bool)
    with _opened(part.path) as file:
        for start in range(0, len(file[ID]), BLOCK_ROWS):
            here = file[ID][start : start + BLOCK_ROWS].astype(np.int64)
            rows = first_rows(here, source_id, seen)[0]
            if len(rows):
                block = _rows(file, start, start + len(here))
                found.append({name: values[rows] for name, values in block.items()})
        empty = _rows(file, 0, 0)
    return Extinctions.from_columns(
        {name: np.concatenate([block[name] for block in [empty, *found]]) for name in COLUMNS}
    )


def _rows(file: Any, start: int, stop: int) -> Columns:
    """Return rows of all columns, in the units of the vocabulary."""
    estimates = file[ESTIMATES][start:stop].astype(np.float64)
    errors = file[ERRORS][start:stop].astype(np.float64)
    return {
        "source_id": file[ID][start:stop].astype(np.int64),
        "extinction": estimates[:, EXTINCTION],
        "extinction_err": errors[:, EXTINCTION],
        "quality_flags": file[QUALITY][start:stop].astype(np.int16),
        "teff": 1000 * estimates[:, TEFF_KK],
        "logg": estimates[:, LOGG],
        "feh": estimates[:, FEH],
    }


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file of the catalogue, and say in one line what is wrong with it."""
    import h5py  # noqa: PLC0415 - slow to import

    try:
        with path.open("rb") as handle:
            if handle.read(len(HDF5_MAGIC)) != HDF5_MAGIC:
                raise DataError(f"{path}: is no HDF5 file")
        with h5py.File(path, "r") as file:
            _check_shapes(path, {name: file[name].shape for name in file if name in EXPECTED})
            yield file
    except (OSError, RuntimeError, AttributeError) as error:
        message = " ".join(str(error).split())
        raise DataError(f"{path}: cannot be read as HDF5: {message}") from None


#: Axes of the datasets that are read.
EXPECTED = {ID: 1, ESTIMATES: 2, ERRORS: 2, QUALITY: 1}


def _check_shapes(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    missing = [name for name in EXPECTED if name not in shapes]
    if missing:
        raise DataError(f"{path}: lacks the dataset(s) {', '.join(missing)} of ZGR23")
    rows = shapes[ID][0] if len(shapes[ID]) == 1 else -1
    for name, axes in EXPECTED.items():
        expected = (rows, PARALLAX + 1)[:axes]
        if shapes[name] != expected:
            wanted = "(n,)" if axes == 1 else "(n, 5)"
            raise DataError(f"{path}: dataset {name} has shape {shapes[name]}; expected {wanted}")


def write_simulated(stars: SimulatedStars, root: Path) -> None:
    """Write simulated stars with a spectrum as ``zgr23/stellar_params_catalog_00.h5``."""
    import h5py  # noqa: PLC0415 - slow to import

    table = stars.table.filter(stars.table["has_spectrum"])
    column = {name: np.asarray(table[name]) for name in table.column_names}
    count = len(table)
    estimates = np.stack(
        [
            column["teff"] / 1000,
            column["feh"],
            column["logg"],
            column["extinction"],
            column["parallax"],
        ],
        axis=1,
    )
    # Typical errors; only that of the extinction is used.
    errors = np.tile(np.array([0.05, 0.1, 0.1, 0.0, 0.05]), (count, 1))
    errors[:, EXTINCTION] = column["extinction_err"]
    confident = np.ones(count, dtype=np.float32)
    folder = root / "zgr23"
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "stellar_params_catalog_00.h5", "w") as file:
        file[ID] = column["source_id"]
        file["ra"], file["dec"] = column["ref_ra"], column["ref_dec"]
        file[ESTIMATES] = estimates.astype(np.float32)
        file[ERRORS] = errors.astype(np.float32)
        file["chi2_opt"] = np.full(count, 61.0, dtype=np.float32)
        file["ln_prior"] = np.zeros(count, dtype=np.float32)
        for name in ("teff", "feh", "logg"):
            file[f"{name}_confidence"] = confident
        file[QUALITY] = column["quality_flags"].astype(np.uint8)
