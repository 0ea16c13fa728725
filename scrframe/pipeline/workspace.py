"""Where a run works: beside its output, and renamed into place when it is whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa

from scrframe.errors import ConfigError, DataError

#: A directory that holds this file is a run.
RUN_MARK = "summary.json"
#: Holds the number of the process that makes a run.
OWNER = "owner"


@dataclass(frozen=True)
class Workspace:
    """A run in the making.

    Attributes
    ----------
    out : Path
        Where the run will be.
    root : Path
        The hidden directory beside it, with the pieces of work that are done (`work`) and
        the products so far (`run`). It stays after an interruption, and a run of the same
        description on the same data goes on from it.
    made : tuple of Path
        Folders above it that were made for it, the lowest first.
    """

    out: Path
    root: Path
    made: tuple[Path, ...] = ()

    @classmethod
    def open(cls, out: Path, key: str, mark: str = RUN_MARK) -> Workspace:
        """Open a workspace; the work of another description or other data is dropped.

        Parameters
        ----------
        out : Path
        key : str
            What identifies the work.
        mark : str
            A directory that holds this file may be replaced.

        Raises
        ------
        ConfigError
            If `out` is something that a run must not replace, or another run works there.
        """
        out = out.absolute()
        if out.exists() and not _replaceable(out, mark):
            raise ConfigError(
                f"{out}: exists and is no earlier run; choose another --out or remove it"
            )
        space = cls(out, partial_run(out), missing_folders(out.parent))
        space._refuse_company()
        known = space.root / "key"
        if space.root.exists() and (not known.exists() or known.read_text() != key):
            shutil.rmtree(space.root)
        with writable(out):
            space.run.mkdir(parents=True, exist_ok=True)
            (space.root / "work").mkdir(exist_ok=True)
            write_text(known, key)
            write_text(space.root / OWNER, str(os.getpid()))
        return space

    def _refuse_company(self) -> None:
        """Refuse to work where another run, which is still alive, does."""
        owner = self.root / OWNER
        text = owner.read_text() if owner.exists() else ""
        if text.isdigit() and int(text) != os.getpid() and psutil.pid_exists(int(text)):
            raise ConfigError(
                f"{self.out}: another run (process {text}) is being made there; wait for it, or"
                " choose another --out"
            )

    @property
    def run(self) -> Path:
        """Directory of the products so far."""
        return self.root / "run"

    def target(self, step: str, key: str) -> Path:
        """Return the file that holds the result of one piece of work."""
        folder = self.root / "work" / step
        folder.mkdir(exist_ok=True)
        return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.arrow"

    def finish(self) -> None:
        """Put the run in its place; an earlier run there is replaced."""
        old = self.out.parent / f".{self.out.name}.old"
        if old.exists():
            shutil.rmtree(old)
        if self.out.exists():
            self.out.rename(old)
        self.run.rename(self.out)
        shutil.rmtree(self.root)
        shutil.rmtree(old, ignore_errors=True)

    def discard(self) -> None:
        """Remove all traces of a run that failed, and folders made for it."""
        shutil.rmtree(self.root, ignore_errors=True)
        remove_empty(self.made)


@contextmanager
def writable(out: Path) -> Iterator[None]:
    """Turn the failure to make folders for an output into one line."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{out}: cannot write there: {error.strerror}") from None


def missing_folders(folder: Path) -> tuple[Path, ...]:
    """Return a folder and those above it that do not exist, the lowest first."""
    return tuple(each for each in (folder, *folder.parents) if not each.exists())


def remove_empty(folders: tuple[Path, ...]) -> None:
    """Remove folders that are empty, in the order given."""
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def partial_run(out: Path) -> Path:
    """Return the hidden directory in which a run with this output works."""
    return out.parent / f".{out.name}.partial"


def _replaceable(out: Path, mark: str) -> bool:
    return out.is_dir() and ((out / mark).exists() or not any(out.iterdir()))


def write_text(path: Path, text: str) -> None:
    """Write a text file under a temporary name and rename it."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON that any reader takes: values that are not finite become null."""
    write_text(path, json.dumps(_plain(content), indent=2, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and value - value != 0:
        return None
    return str(value) if isinstance(value, Path) else value


def save_arrow(path: Path, table: pa.Table, meta: Mapping[str, Any] | None = None) -> None:
    """Write a table as an Arrow file, atomically, with JSON beside its schema."""
    metadata = {**(table.schema.metadata or {}), b"scrframe": json.dumps(meta or {}).encode()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with pa.OSFile(str(temporary), "wb") as sink:
        schema = table.schema.with_metadata(metadata)
        with pa.ipc.new_file(sink, schema) as writer:
            writer.write_table(table.replace_schema_metadata(metadata))
    temporary.replace(path)


def load_arrow(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Map an Arrow file into memory and return its table and JSON.

    Raises
    ------
    DataError
        If the file is not readable.
    """
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: cannot be read back: {error}") from None
    metadata = dict(table.schema.metadata or {})
    meta = json.loads(metadata.pop(b"scrframe", b"{}"))
    return table.replace_schema_metadata(metadata), meta
