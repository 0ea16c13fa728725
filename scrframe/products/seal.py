"""What shows that the files of a solution are those that one run wrote together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scrframe.errors import DataError
from scrframe.products.files import to_json

RECORD = "provenance.json"
_SEAL = "sha256"


def run_key(record: Mapping[str, Any]) -> str:
    """Return the name by which the files of a solution say that they are of one run."""
    return _digest(record)[:16]


def sealed(record: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a record with the hashes of the files beside it, and of itself."""
    found = {path.name: _hash(path) for path in sorted(folder.glob("[!.]*")) if path.is_file()}
    found.pop(RECORD, None)
    whole = {**record, "files": found}
    return {**whole, _SEAL: _digest(whole)}


def check_seal(record: Mapping[str, Any], folder: Path) -> None:
    """Raise DataError if a file is not as the run wrote it; records of 0.1.0 have no hashes."""
    if _SEAL not in record:
        return
    whole = {name: value for name, value in record.items() if name != _SEAL}
    if record[_SEAL] != _digest(whole):
        raise _changed(folder / RECORD)
    for name, said in record["files"].items():
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path}: not found; the solution is not whole: make the run anew")
        if _hash(path) != said:
            raise _changed(path)


def _changed(path: Path) -> DataError:
    what = "is damaged, edited or of another run: it is not as the run wrote it"
    return DataError(f"{path}: {what}")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(record: Mapping[str, Any]) -> str:
    text = json.dumps(to_json(record), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
