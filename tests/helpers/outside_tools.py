"""What tools that others wrote say of files: astropy, fitsverify (HEASARC) and stilts (TOPCAT)."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from astropy.io import fits
from astropy.table import Table

#: How astropy and stilts call the formats of tables.
FORMATS = {
    ".fits": ("fits", "fits"),
    ".ecsv": ("ascii.ecsv", "ecsv"),
    ".csv": ("ascii.csv", "csv"),
    ".vot": ("votable", "votable"),
    ".parquet": ("parquet", None),  # a reader that not every stilts has
}


def tables_below(*folders: Path) -> list[Path]:
    """Return the files of tables and images below folders."""
    return sorted(
        path for folder in folders for path in folder.rglob("*") if path.suffix in FORMATS
    )


def said_by_astropy(paths: Iterable[Path]) -> set[str]:
    """Return warnings about files that are read whole; an error ends the test."""
    found = set()
    for path in paths:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if path.suffix == ".fits":
                with fits.open(path, checksum=True) as hdus:
                    hdus.verify("exception")
                    for number, hdu in enumerate(hdus):
                        if isinstance(hdu, fits.BinTableHDU):
                            Table.read(hdus, hdu=number)
                        assert number == 0 or hdu.data is not None
            else:
                table = Table.read(path, format=FORMATS[path.suffix][0])
                assert table.colnames
        found |= {f"{path.name}: {each.message}" for each in caught}
    return found


def said_by_fitsverify(paths: Iterable[Path]) -> list[str]:
    """Return what fitsverify says of files but that they are right; skips where it is not there."""
    _need("fitsverify")
    wanted = [str(path) for path in paths if path.suffix == ".fits"]
    done = subprocess.run(
        ["fitsverify", "-q", *wanted], check=False, capture_output=True, text=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) >= len(wanted) > 0, done.stderr
    return [line for line in lines if not line.startswith("verification OK")]


def said_by_stilts(paths: Iterable[Path]) -> list[str]:
    """Return errors and warnings of stilts, which reads every row; skips where it is not there."""
    _need("stilts")
    return [line for path in paths for line in _stilts(path)]


def _stilts(path: Path) -> Iterator[str]:
    name = FORMATS[path.suffix][1]
    if name is None or (name == "fits" and not _holds_table(path)):
        return
    if name == "votable":
        lint = _run("votlint", f"votable={path}")
        yield from (f"{path.name}: {line}" for line in (lint.stdout + lint.stderr).splitlines())
    done = _run("-verbose", "tpipe", f"in={path}", f"ifmt={name}", "omode=count")
    said = [line for line in done.stderr.splitlines() if line and not line.startswith("INFO")]
    if done.returncode or said:
        yield f"{path.name}: ends with {done.returncode}: {' '.join(said)}"


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["stilts", *words], check=False, capture_output=True, text=True)


def _holds_table(path: Path) -> bool:
    with fits.open(path) as hdus:
        return any(isinstance(hdu, fits.BinTableHDU) for hdu in hdus)


def _need(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
