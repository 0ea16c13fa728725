"""Carries out a plan: every piece asked once, verified, and kept until all are there.

A piece that came is a file of a hidden folder beside the data. When the last one is there the
folder takes its name, in one step: a run sees all of a request, or nothing of it. What an
interruption leaves is the folder; the same command goes on with it.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from scrframe.arrays import IntArray
from scrframe.errors import KEPT, DataError, ResourceError
from scrframe.fetch.place import ASKED, PROVENANCE, Destination, provenances, write_asked
from scrframe.fetch.services import Service
from scrframe.observer import Observer
from scrframe.plugin import Delivery, Piece, Wanted
from scrframe.plugin.helpers.guest import Guest
from scrframe.products.files import replacing, write_json
from scrframe.version import __version__

#: Rows of a row group of spectra; a part of a run's input is about two.
GROUP_ROWS = 4000
_META = b"scrframe_fetch"
_PIECES, _SCRATCH = "pieces", "scratch"


@dataclass(frozen=True)
class Task:
    """A request that is carried out."""

    name: str
    service: Service
    wanted: Wanted
    pieces: Sequence[Piece]
    place: Destination
    limit: int | None = None


@dataclass(frozen=True)
class Fetched:
    """What a request brought."""

    folder: Path
    rows: int
    without: int
    undelivered: IntArray


def carry_out(task: Task, workers: int | None, observer: Observer) -> Fetched:
    """Fetch all pieces that are not there, and put the whole in its place.

    Raises
    ------
    ServiceError
        If the service refuses, or does not deliver what it should; the work is kept.
    ResourceError
        If another process fetches the same, or the disk is full.
    """
    final = task.place.final(task.name)
    hidden = task.place.folder / f".{task.name}.fetch"
    with _own(hidden, task.place.folder):
        if final.is_dir():
            _tidy(final)
            _remove_trials(task)
            shutil.rmtree(hidden)
            return _read_back(final)
        for folder in (_PIECES, _SCRATCH):
            (hidden / folder).mkdir(exist_ok=True)
        for left in (hidden / _PIECES).glob(".*"):
            left.unlink()  # of a piece that was being written
        try:
            _fetch_pieces(task, hidden, workers, observer)
            return _finish(task, hidden, final)
        except OSError as error:  # the disk is full, or may not be written
            where = error.filename or hidden
            refused = ResourceError(f"{where}: cannot be written: {error.strerror or error}")
            refused.add_note(KEPT)
            raise refused from None
        except (Exception, KeyboardInterrupt) as error:
            error.add_note(KEPT)
            raise


def clear_up(place: Destination) -> None:
    """Do what was left to do of requests that were killed when all of their data were in place."""
    for lock in place.folder.glob(".*.fetch.lock"):
        hidden = lock.with_suffix("")
        final = place.final(hidden.name.removeprefix(".").removesuffix(".fetch"))
        if hidden.is_dir() and not final.is_dir():
            continue  # it is not done
        with _own(hidden, place.folder):
            if final.is_dir():
                _tidy(final)
            shutil.rmtree(hidden)


@contextmanager
def _own(hidden: Path, above: Path) -> Iterator[None]:
    """Enclose the work in a folder of which this process alone disposes."""
    try:
        hidden.mkdir(parents=True, exist_ok=True)
        lock = FileLock(above / f"{hidden.name}.lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise ResourceError(f"{hidden}: another scrframe fetches the same; wait for it") from None
    except OSError as error:
        raise DataError(f"{above}: cannot write there: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def _fetch_pieces(task: Task, hidden: Path, workers: int | None, observer: Observer) -> None:
    """Fetch the pieces that are not there, some at a time; with a limit one by one."""
    stop = threading.Event()
    guest = Guest(task.service.guest, observer, stop)
    there = [piece for piece in task.pieces if _load(_file(hidden, piece)) is not None]
    rows = sum(pq.read_metadata(_file(hidden, piece)).num_rows for piece in there)
    left = [piece for piece in task.pieces if piece not in there]
    most = task.service.guest.parallel if task.limit is None else 1
    at_once = min(workers or most, most)
    title = f"Fetching {task.wanted.product} from {task.service.name}"
    with observer.step(title, len(task.pieces)) as done:
        done(len(there))
        answers = _Threads(at_once, lambda piece: _fetch_piece(task, piece, guest, hidden))
        try:
            for piece in left:
                if task.limit is not None and rows >= task.limit:
                    break
                if answers.hand_out(piece):
                    rows += answers.take()
                    done(1)
            while answers.out:
                rows += answers.take()
                done(1)
        except BaseException:
            stop.set()
            raise


class _Threads:
    """A few threads that end with the process: an interruption waits for no silent service."""

    def __init__(self, most: int, work: Callable[[Piece], int]) -> None:
        self.out = 0
        self._most, self._work = most, work
        self._asked: SimpleQueue[Piece] = SimpleQueue()
        self._answers: SimpleQueue[int | BaseException] = SimpleQueue()
        for _ in range(most):
            threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            piece = self._asked.get()
            try:
                self._answers.put(self._work(piece))
            except BaseException as error:
                self._answers.put(error)

    def hand_out(self, piece: Piece) -> bool:
        """Hand a piece to a thread, and tell whether all of them are busy."""
        self._asked.put(piece)
        self.out += 1
        return self.out >= self._most

    def take(self) -> int:
        """Return the next answer, or raise what it ended with."""
        while True:
            try:
                answer = self._answers.get(timeout=0.2)  # open to interruptions
            except Empty:
                continue
            self.out -= 1
            if isinstance(answer, BaseException):
                raise answer
            return answer


def _fetch_piece(task: Task, piece: Piece, guest: Guest, hidden: Path) -> int:
    """Fetch a piece into its file, and return its rows."""
    scratch = hidden / _SCRATCH / piece.key
    scratch.mkdir(parents=True, exist_ok=True)
    archive, config = task.service.archive, task.service.config
    ask: Callable[[], Delivery] = lambda: archive.fetch(  # noqa: E731
        piece, task.wanted, config, guest, scratch
    )
    delivery = guest.patiently(ask)
    said = {
        "asked": delivery.asked,
        "without": delivery.without.tolist(),
        "undelivered": delivery.undelivered.tolist(),
    }
    write_table(_file(hidden, piece), delivery.table, said)
    shutil.rmtree(scratch)
    return int(delivery.table.num_rows)


def _file(hidden: Path, piece: Piece) -> Path:
    return hidden / _PIECES / f"{piece.key}.parquet"


def write_table(path: Path, table: pa.Table, said: Mapping[str, Any]) -> None:
    """Write a piece, the same rows as the same bytes."""
    table = table.replace_schema_metadata({_META: json.dumps(said).encode()})
    with replacing(path) as temporary:
        pq.write_table(
            table,
            temporary,
            row_group_size=GROUP_ROWS,
            compression="zstd",
            compression_level=1,
            use_dictionary=False,
            write_statistics=["source_id"],
        )


def _load(path: Path) -> Mapping[str, Any] | None:
    """Return what was said of a piece that is there and whole."""
    try:
        schema = pq.read_schema(path)
        said: Mapping[str, Any] = json.loads(schema.metadata[_META])
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return None
    return said


def _finish(task: Task, hidden: Path, final: Path) -> Fetched:
    """Put the pieces in their place, with what is to be said of them."""
    rows, asked, without, undelivered = 0, 0, 0, []
    files: list[str] = []
    pieces = hidden / _PIECES
    left = task.limit
    for piece in task.pieces:
        path = _file(hidden, piece)
        said = _load(path)
        if said is None:  # beyond the limit
            continue
        count = pq.read_metadata(path).num_rows
        if left is not None:
            count = _cut(path, min(count, left), said)
            left -= count
        rows, asked = rows + count, asked + int(said["asked"])
        without += len(said["without"])
        undelivered += said["undelivered"]
        if count:
            files.append(path.name)
    if task.wanted.product == "extinctions":
        _write_hdf5(task.place.file(task.name), [pieces / name for name in files])
        files = [task.place.file(task.name).name] if rows else []
    lost = np.array(sorted(undelivered), dtype=np.int64)
    if task.wanted.source_id is not None:
        write_asked(pieces / ASKED, task.wanted.source_id)
    write_json(
        pieces / PROVENANCE,
        {
            **task.service.described(),
            "summary": task.service.summary,
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "scrframe": __version__,
            "rows": rows,
            "rows_of_service": asked,
            "files": files,
            "stars_wanted": None if task.wanted.source_id is None else len(task.wanted.source_id),
            "stars_without": without,
            "stars_undelivered": lost.tolist(),
            "limit": task.limit,
            "pieces": len(task.pieces),
            "ranges": [list(each) for each in task.wanted.ranges],
        },
    )
    pieces.rename(final)
    _tidy(final)
    _remove_trials(task)
    shutil.rmtree(hidden)  # last: while it is there something may be left to do
    return Fetched(final, rows, without, lost)


def _tidy(final: Path) -> None:
    """Remove the pieces that are no data: empty ones, and those that became one file."""
    files = json.loads((final / PROVENANCE).read_text("utf-8"))["files"]
    for path in final.glob("*.parquet"):
        if path.name not in files and path.name != ASKED:
            path.unlink()


def _remove_trials(task: Task) -> None:
    """Remove what earlier trials (of a limited number of stars) brought, which is here again."""
    if task.limit is not None:
        return
    for folder, said in list(provenances(task.place.folder)):
        same = (said.get("product"), said.get("release")) == (
            task.wanted.product,
            task.service.release,
        )
        if same and said.get("limit") is not None:
            task.place.file(folder.name.removeprefix("_")).unlink(missing_ok=True)
            shutil.rmtree(folder)


def _cut(path: Path, rows: int, said: Mapping[str, Any]) -> int:
    """Leave the first rows of a piece."""
    table = pq.read_table(path)
    if len(table) > rows:
        write_table(path, table.slice(0, rows), said)
    return rows


def _write_hdf5(path: Path, pieces: Sequence[Path]) -> None:
    """Write extinctions as the one file that the catalogue's reader takes."""
    import h5py  # noqa: PLC0415 - slow to import

    if not pieces:
        return
    table = pa.concat_tables(pq.read_table(piece) for piece in pieces)
    with replacing(path) as temporary, h5py.File(temporary, "w", track_order=True) as file:
        for name in table.column_names:
            column = table.column(name).combine_chunks()
            own = "gdr3_source_id" if name == "source_id" else name
            if pa.types.is_list(column.type):
                values = column.values.to_numpy(zero_copy_only=False).reshape(len(column), -1)
            else:
                values = column.to_numpy(zero_copy_only=False)
                values = values.astype(np.uint8) if name == "quality_flags" else values
            file.create_dataset(own, data=values, track_times=False)


def _read_back(folder: Path) -> Fetched:
    """Return what an earlier run of the same command brought."""
    said = json.loads((folder / PROVENANCE).read_text("utf-8"))
    lost = np.array(said["stars_undelivered"], dtype=np.int64)
    return Fetched(folder, int(said["rows"]), int(said["stars_without"]), lost)
