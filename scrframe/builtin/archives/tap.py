"""TAP, the protocol of the Virtual Observatory for queries (ADQL), by way of pyvo.

A query names the stars by ranges of `source_id`, which are HEALPix pixels, so that every mirror
answers from its index; or by the identifiers themselves, uploaded or in a list. Every answer is
held against the number of rows that the service itself counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from scrframe.arrays import IntArray
from scrframe.builtin.archives.columns import (
    ID,
    MEAN_DENSITY,
    STAR_BYTES,
    ColumnNames,
    gather,
)
from scrframe.errors import ScrframeError, ServiceError, UnfinishedError, printable
from scrframe.io.table_file import TableInMemory
from scrframe.plugin import ArchivePlan, Delivery, Piece, PluginConfig, SourceRanges, Wanted
from scrframe.plugin.archive import shift_of, within_groups
from scrframe.plugin.helpers.guest import Guest

#: Level of the pixels by which stars are asked for where ranges stand for them.
RANGE_LEVEL = 10
#: Queries of which a plan asks the count.
SAMPLED = 4
_JOB = "job.txt"


class TapConfig(ColumnNames):
    """A table of a TAP service."""

    url: str = Field("", description="Base address of the service.")
    table: str = Field("gaiadr3.gaia_source", description="Name of the table.")
    where: str = Field("", description="A further condition, in ADQL.")
    ids_by: Literal["upload", "list", "ranges"] = Field(
        "upload",
        description="How single stars are named: uploaded, in a list in the query, or by the"
        f" pixels (level {RANGE_LEVEL}) in which they lie, the rest being left out on arrival.",
    )
    mode: Literal["async", "sync"] = Field("async", description="Jobs, or answers at once.")
    ranges_a_query: int = Field(60, ge=1, description="Most ranges of a query.")
    ids_a_query: int = Field(2000, ge=1, description="Most stars that a query names.")
    rows_a_query: int = Field(
        2_000_000, ge=1, description="Most rows of an answer; a query of more is cut in two."
    )
    seconds_a_query: float = Field(20.0, ge=0, description="Time of a query, for estimates.")
    megabytes_a_second: float = Field(3.0, gt=0, description="Of answers, for estimates.")


def plan(wanted: Wanted, config: TapConfig, guest: Guest) -> ArchivePlan:
    """Return the queries; a few are counted by the service, to estimate the rest."""
    pieces = [Piece(f"q{number:05d}", ask) for number, ask in enumerate(_asks(wanted, config))]
    notes: list[str] = []
    if wanted.source_id is None and wanted.estimate and not np.isfinite(wanted.expected):
        stars = _estimated(pieces, wanted, config, guest, notes)
    else:
        ids = wanted.source_id
        stars = wanted.expected if ids is None else float(len(ids))
    gigabytes = stars * STAR_BYTES[wanted.product][0] * 1.3 / 1e9
    seconds = len(pieces) * config.seconds_a_query + 1e3 * gigabytes / config.megabytes_a_second
    queries = tuple(adql(piece.ask, config) for piece in pieces)
    return ArchivePlan(
        tuple(pieces),
        stars,
        gigabytes,
        seconds,
        len(pieces),
        queries=queries,
        notes=tuple(notes),
    )


def _asks(wanted: Wanted, config: TapConfig) -> list[dict[str, Any]]:
    if wanted.source_id is None:
        return [_ranges(group) for group in wanted.ranges.groups(config.ranges_a_query)]
    if config.ids_by != "ranges":
        groups = within_groups(wanted.source_id, config.ids_a_query)
        return [{"ids": group.tolist()} for group in groups]
    pixels = wanted.source_id >> shift_of(RANGE_LEVEL)
    whole = SourceRanges.of_pixels(pixels, RANGE_LEVEL)
    return [_ranges(group) for group in whole.groups(config.ranges_a_query)]


def _ranges(group: SourceRanges) -> dict[str, Any]:
    return {"ranges": [list(each) for each in group]}


def _estimated(
    pieces: Sequence[Piece], wanted: Wanted, config: TapConfig, guest: Guest, notes: list[str]
) -> float:
    """Return the number of stars, from the service's own counts of a few queries."""
    if not pieces:
        return 0.0
    some = sorted({round(at) for at in np.linspace(0, len(pieces) - 1, SAMPLED)})
    try:
        counted = [_count(pieces[at].ask, config, guest.hasty()) for at in some]
        areas = [_region(pieces[at].ask).area_deg2 for at in some]
        if len(some) < len(pieces):
            notes.append(f"stars from the service's counts of {len(some)} of the queries")
        return float(np.sum(counted) / np.sum(areas) * wanted.ranges.area_deg2)
    except ScrframeError as error:
        kind = "with spectra" if "has_xp" in config.where or wanted.product != "sources" else "all"
        notes.append(
            f"the service does not count ({printable(str(error), 120)}): stars are the mean of"
            " the whole sky; in the Milky Way there are many more"
        )
        return MEAN_DENSITY[kind] * wanted.ranges.area_deg2


def _region(ask: Mapping[str, Any]) -> SourceRanges:
    ends = np.array(ask["ranges"], dtype=np.int64).reshape(-1, 2)
    return SourceRanges(ends[:, 0], ends[:, 1])


def adql(
    ask: Mapping[str, Any], config: TapConfig, *, count: bool = False, top: int | None = None
) -> str:
    """Return the query of a piece, at most of its first rows, or the one that counts its rows."""
    names = config.names()
    own = [one for columns in names.values() for one in columns]
    what = "COUNT(*) AS n" if count else ", ".join(f"t.{name}" for name in own)
    first = "" if top is None else f"TOP {top} "
    query = f"SELECT {first}{what} FROM {config.table} AS t"
    key = f"t.{names[ID][0]}"
    if "ranges" in ask:
        conditions = " OR ".join(f"{key} BETWEEN {low} AND {high}" for low, high in ask["ranges"])
        query += f" WHERE ({conditions})"
    elif config.ids_by == "upload":
        query += f" JOIN TAP_UPLOAD.wanted AS w ON {key} = w.source_id"
        return query + (f" WHERE {config.where}" if config.where else "")
    else:
        query += f" WHERE {key} IN ({', '.join(map(str, ask['ids']))})"
    return query + (f" AND {config.where}" if config.where else "")


def fetch(piece: Piece, wanted: Wanted, config: TapConfig, guest: Guest, scratch: Path) -> Delivery:
    """Ask a query, and return the stars that are wanted of its answer.

    Raises UnfinishedError where the rows are not those that were asked for, or not as many as the
    service counts.
    """
    expected = _count(piece.ask, config, guest)
    top = None
    if wanted.limit is not None and expected > wanted.limit:
        top = expected = wanted.limit
    if expected > config.rows_a_query and "ranges" in piece.ask:
        return _in_halves(piece, wanted, config, guest, scratch)
    table = _answer(adql(piece.ask, config, top=top), piece, config, guest, scratch, expected)
    found, rows = gather([table], config)
    if rows != expected:
        (scratch / _JOB).unlink(missing_ok=True)
        raise UnfinishedError(f"{config.url}: sent {rows} rows, but counts {expected}")
    ids = found[ID].to_numpy()
    if "ranges" in piece.ask:
        strange = ids[~_region(piece.ask).contains(ids)]
    else:
        strange = np.setdiff1d(ids, np.array(piece.ask["ids"], dtype=np.int64))
    if len(strange):
        (scratch / _JOB).unlink(missing_ok=True)
        raise UnfinishedError(f"{config.url}: sent star {strange[0]}, which was not asked for")
    kept = found.filter(wanted.chosen(ids))
    return Delivery(kept, expected, without=_without(piece, wanted, kept[ID].to_numpy()))


def _without(piece: Piece, wanted: Wanted, found: IntArray) -> IntArray:
    """Return the stars asked for of which the service, by its own count, has no row."""
    if wanted.source_id is None:
        return np.empty(0, np.int64)
    if "ids" in piece.ask:
        asked = np.array(piece.ask["ids"], dtype=np.int64)
    else:
        asked = wanted.source_id[_region(piece.ask).contains(wanted.source_id)]
    return np.setdiff1d(asked, found)


def _in_halves(
    piece: Piece, wanted: Wanted, config: TapConfig, guest: Guest, scratch: Path
) -> Delivery:
    """Fetch a piece of too many rows as two of fewer."""
    whole = _region(piece.ask)
    if len(whole) > 1:
        half = len(whole) // 2
        parts = [
            SourceRanges(whole.first[s], whole.last[s]) for s in (slice(half), slice(half, None))
        ]
    else:
        low, high = int(whole.first[0]), int(whole.last[0])
        middle = (low + high) // 2
        parts = [whole.within(low, middle), whole.within(middle + 1, high)]
    found = []
    for number, part in enumerate(parts):
        inner = scratch / f"half{number}"
        inner.mkdir(exist_ok=True)
        smaller = Piece(f"{piece.key}.{number}", _ranges(part))
        found.append(fetch(smaller, wanted, config, guest, inner))
    return Delivery(
        pa.concat_tables([each.table for each in found]).combine_chunks(),
        sum(each.asked for each in found),
        without=np.concatenate([each.without for each in found]),
    )


def _uploads(ask: Mapping[str, Any]) -> dict[str, Any] | None:
    if "ids" not in ask:
        return None
    from astropy.table import Table  # noqa: PLC0415 - slow to import

    return {"wanted": Table({"source_id": np.array(ask["ids"], dtype=np.int64)})}


def _count(ask: Mapping[str, Any], config: TapConfig, guest: Guest) -> int:
    """Return the number of rows that the service has for a query."""
    import pyvo  # noqa: PLC0415 - slow to import

    service = pyvo.dal.TAPService(config.url, session=guest.session)
    uploads = _uploads(ask) if config.ids_by == "upload" else None
    with _told(config.url):
        answer = service.run_sync(adql(ask, config, count=True), uploads=uploads)
        return int(answer.to_table()[answer.fieldnames[0]][0])


def _answer(
    query: str, piece: Piece, config: TapConfig, guest: Guest, scratch: Path, expected: int
) -> TableInMemory:
    """Return the answer to a query, from the job that an earlier attempt began if it still is."""
    import pyvo  # noqa: PLC0415 - slow to import

    uploads = _uploads(piece.ask) if config.ids_by == "upload" else None
    most = expected + 1  # one more, so that too many are seen
    with _told(config.url):
        if config.mode == "sync":
            service = pyvo.dal.TAPService(config.url, session=guest.session)
            result = service.run_sync(query, maxrec=most, uploads=uploads)
        else:
            job = _job(query, most, uploads, config, guest, scratch / _JOB)
            if job.phase in ("PENDING", "HELD"):
                job.run()
            job.wait(timeout=guest.settings.timeout)
            try:
                job.raise_if_error()
                result = job.fetch_result()
            except Exception as error:
                # A service that is down or wants a login says nothing of the job, which is kept.
                if _service_error(error) is None:
                    (scratch / _JOB).unlink(missing_ok=True)
                raise
        table = result.to_table()
    if result.query_status == "OVERFLOW" and len(table) < expected:
        raise UnfinishedError(f"{config.url}: cut the answer at {len(table)} rows")
    columns = {name: table[name] for name in table.colnames}
    return TableInMemory(Path(config.table), columns, {}, label=f"{config.url}, {config.table}")


def _job(query: str, most: int, uploads: Any, config: TapConfig, guest: Guest, note: Path) -> Any:
    """Return the job of a query: the one that is noted, if the service still has it, or new."""
    import pyvo  # noqa: PLC0415 - slow to import

    if note.exists():
        try:
            job = pyvo.dal.AsyncTAPJob(note.read_text("utf-8"), session=guest.session)
            if job.phase not in ("ERROR", "ABORTED", "ARCHIVED", "UNKNOWN"):
                return job
        except (pyvo.dal.DALServiceError, pyvo.dal.DALFormatError):
            pass  # it has expired
        note.unlink(missing_ok=True)
    job = pyvo.dal.AsyncTAPJob.create(
        config.url, query, maxrec=most, uploads=uploads, session=guest.session
    )
    note.write_text(job.url, encoding="utf-8")
    return job


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn what pyvo raises into a service's own words."""
    try:
        yield
    except ScrframeError:
        raise
    except Exception as error:  # pyvo, requests, and the parsers of XML
        if (inner := _service_error(error)) is not None:
            raise inner from None
        import pyvo  # noqa: PLC0415 - slow to import

        said = f"{url}: {printable(str(error), 300) or type(error).__name__}"
        if isinstance(error, pyvo.dal.DALQueryError) and _is_final(str(error)):
            raise ServiceError(said) from None
        # The service broke off, or lost the job, or sent what is no VOTable.
        raise UnfinishedError(said) from None


def _service_error(error: BaseException) -> ServiceError | None:
    """Return the session's own error that pyvo has wrapped, None where there is none."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, ServiceError):
        inner = inner.__cause__ or inner.__context__
    return inner


def _is_final(text: str) -> bool:
    """Tell whether an error of a query is in the query: asking again would not help."""
    words = ("parse", "syntax", "unknown", "not found", "no such", "does not exist", "column")
    return any(word in text.lower() for word in words)


def address(config: TapConfig, url: str) -> PluginConfig:
    """Return the settings with another address."""
    return config.model_copy(update={"url": url.rstrip("/")})
