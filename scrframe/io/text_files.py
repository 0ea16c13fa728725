"""Tables as text, gzipped or not: opening them, and what damaged ones raise."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from scrframe.errors import DataError
from scrframe.io.fits import is_gzipped


@contextmanager
def open_text(path: Path) -> Iterator[io.TextIOBase]:
    """Open a text, decompressing it; ends of lines stay as they are."""
    opener: Any = gzip.open if is_gzipped(path) else open
    with opener(path, "rt", encoding="utf-8", newline="") as handle:
        yield handle


@contextmanager
def open_stream(path: Path) -> Iterator[pa.NativeFile]:
    """Open a file as Arrow's readers take it, decompressing it."""
    with pa.OSFile(str(path)) as raw:
        if not is_gzipped(path):
            yield raw
            return
        with pa.CompressedInputStream(raw, "gzip") as stream:
            yield stream


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what damaged files raise into one line."""
    try:
        yield
    except UnicodeDecodeError:
        raise DataError(f"{path}: is no text") from None
    except (OSError, EOFError, zlib.error, csv.Error, pa.ArrowException) as error:
        message = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: cannot be read as CSV: {message}") from None
