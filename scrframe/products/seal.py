"""What shows that the files of a solution are those that one run wrote together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scrframe.errors import DataError
from scrframe.products.files import RUN_MARK, to_json

RECORD = "provenance.json"
_SEAL = "sha256"
#: Versions whose records have no hashes.
_UNSEALED = "0.1."


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
        made_by = dict(record.get("versions") or {}).get("scrframe", _UNSEALED)
        if not str(made_by).startswith(_UNSEALED):
            raise _changed(folder / RECORD)
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


def check_run(record: Mapping[str, Any], folder: Path) -> None:
    """Raise DataError if a solution lies in the folder of another run, by its summary."""
    path = folder.parent / RUN_MARK
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        own = summary["survey"], summary["offsets"]["u_ZP_mag"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # no run around it, or one whose summary is refused where it is read
    if own != (record.get("survey"), record["zero_point_mag"]):  # to the last digit
        raise DataError(f"{folder}: is the solution of another run than {path}")


def _changed(path: Path) -> DataError:
    what = "is damaged, edited or of another run: it is not as the run wrote it"
    return DataError(f"{path}: {what}")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(record: Mapping[str, Any]) -> str:
    text = json.dumps(to_json(record), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
