"""Checks of archives, on the tiny one that their example writes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.plugin import Delivery, SourceRanges, Wanted
from scrframe.plugin.archive import PRODUCTS, shift_of
from scrframe.plugin.helpers.guest import Guest, GuestSettings
from scrframe.testing.subject import NotTestedError, Subject, demand

Ids = npt.NDArray[np.int64]
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
#: Level of the pixels of which the region is made.
_LEVEL = 8


def _example(subject: Subject) -> tuple[Any, Ids]:
    if subject.descriptor.example is None:
        raise NotTestedError("has no `example`, as an archive that needs the net")
    made: tuple[Any, Ids] = subject.once(
        "example", lambda: subject.descriptor.example(subject.folder("archive")), judge=True
    )
    return made


def _wanted(subject: Subject, source_id: Ids, chosen: Ids | None = None) -> Wanted:
    ranges = SourceRanges.of_pixels(source_id >> shift_of(_LEVEL), _LEVEL)
    return Wanted(subject.descriptor.products[0], ranges, chosen)


def _guest() -> Guest:
    return Guest(GuestSettings.model_validate({"pause": 0, "first_wait": 0, "attempts": 1}))


def _deliveries(subject: Subject, wanted: Wanted) -> list[Delivery]:
    config, _ = _example(subject)
    archive, guest = subject.descriptor, _guest()
    pieces = archive.plan(wanted, config, guest).pieces
    found = []
    for number, piece in enumerate(pieces):
        scratch: Path = subject.folder(f"scratch-{number}")
        found.append(archive.fetch(piece, wanted, config, guest, scratch))
    return found


def _ids(deliveries: list[Delivery]) -> Ids:
    found = [each.table["source_id"].to_numpy() for each in deliveries]
    return np.concatenate([np.empty(0, np.int64), *found])


def check_products(subject: Subject) -> None:
    """Check that the archive says what it fetches."""
    products = subject.descriptor.products
    demand(
        products and set(products) <= set(PRODUCTS),
        f"`products` is {products!r}: name some of {', '.join(PRODUCTS)}",
    )


def check_plan(subject: Subject) -> None:
    """Check that a plan can be kept: keys that name files, plain JSON, the same twice."""
    config, source_id = _example(subject)
    wanted = _wanted(subject, source_id)
    first, second = (subject.descriptor.plan(wanted, config, _guest()) for _ in range(2))
    keys = [piece.key for piece in first.pieces]
    demand(first.pieces, "`plan` returned no piece for stars that are there")
    demand(
        len(set(keys)) == len(keys) and all(map(_KEY.fullmatch, keys)),
        "each piece needs a key of its own of letters, digits, -, _ and ., which names a file",
    )
    demand(
        first.pieces == second.pieces,
        "`plan` returned other pieces for the same wish: what came before an interruption would"
        " be asked for again",
    )
    try:
        json.dumps([dict(piece.ask) for piece in first.pieces])
    except TypeError as error:
        demand(False, f"`ask` of a piece must be plain JSON: {error}")


def check_delivery(subject: Subject) -> None:
    """Check that all stars that are wanted come, and each once."""
    _, source_id = _example(subject)
    found = _ids(_deliveries(subject, _wanted(subject, source_id)))
    demand(
        np.array_equal(np.sort(found), np.sort(source_id)),
        f"of {len(source_id)} stars {len(np.intersect1d(found, source_id))} were delivered, in"
        f" {len(found)} rows: each star wanted must come once",
    )


def check_wanted(subject: Subject) -> None:
    """Check that only the stars come that are wanted, and that what is not there is named."""
    _, source_id = _example(subject)
    chosen = np.sort(source_id)[::2]
    strange = np.setdiff1d(chosen + 1, source_id)[:1]  # a star that the archive does not have
    asked = np.union1d(chosen, strange)
    deliveries = _deliveries(subject, _wanted(subject, source_id, asked))
    found = _ids(deliveries)
    demand(
        np.array_equal(np.sort(found), chosen),
        "stars came that were not wanted, or some that were did not: return the rows of which"
        " `wanted.chosen` is true",
    )
    named = np.concatenate([each.without for each in deliveries])
    demand(
        set(strange) <= set(named.tolist()) or not len(strange),
        "a star was asked for that the archive does not have: put it into `without`",
    )
