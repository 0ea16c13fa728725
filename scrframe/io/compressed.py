"""Bytes of files, gzipped or not, never more than a file can honestly hold."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import IO, Any

from scrframe.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"
#: What unpacks to more than this, and to more than so many times its size, is no data: tables
#: of numbers shrink to a third or a tenth, and gzip to a thousandth at most.
_MOST_BYTES, _MOST_TIMES = 64 << 20, 200


def is_gzipped(path: Path) -> bool:
    """Return whether a file starts as gzip files do."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP_MAGIC


def refuse_bomb(path: Path, unpacked: int, packed: int) -> None:
    """Raise DataError if so many bytes are not to be expected of so many packed ones."""
    if unpacked > max(_MOST_BYTES, _MOST_TIMES * packed):
        raise DataError(
            f"{path}: {packed} bytes unpack to {unpacked} and more, which no table does; it is not"
            " read further"
        )


class _Unpacked(io.RawIOBase):
    """What a gzipped file holds, until it is more than can be meant."""

    def __init__(self, path: Path) -> None:
        self._path, self._raw = path, path.open("rb")
        self._file = gzip.GzipFile(fileobj=self._raw)
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read1(len(buffer))
        buffer[: len(data)] = data
        self._count += len(data)
        refuse_bomb(self._path, self._count, max(self._raw.tell(), 1))
        return len(data)

    def close(self) -> None:
        self._file.close()
        self._raw.close()
        super().close()


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading its bytes, which are decompressed if it is gzipped.

    Reading raises DataError where a small file unpacks to gigabytes.
    """
    if is_gzipped(path):
        return io.BufferedReader(_Unpacked(path), 1 << 20)
    return path.open("rb")
