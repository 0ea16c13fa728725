"""Explain an offset: of a visit, a CCD, an exposure, or a star's detections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scrframe.analysis.explain.ccd import explain_ccd
from scrframe.analysis.explain.opened_run import OpenedRun
from scrframe.analysis.explain.star import explain_star
from scrframe.analysis.explain.visit import explain_visit
from scrframe.errors import ConfigError
from scrframe.plugin import Registry, load_registry
from scrframe.products.finished_run import open_run
from scrframe.statistics.json import to_json

Kind = Literal["visit", "exposure", "ccd", "star"]


@dataclass(frozen=True)
class Explanation:
    """Why an offset is what it is.

    Attributes
    ----------
    kind : {"visit", "exposure", "ccd", "star"}
    facts : mapping
        Plain JSON. Keys that end in ``_mag`` are in mag; what is not defined is None.
    """

    kind: Kind
    facts: Mapping[str, Any]


def explain(
    run_dir: str | Path,
    *,
    visit: str | None = None,
    ccd: int | None = None,
    star: int | None = None,
    registry: Registry | None = None,
) -> Explanation:
    """Explain an offset of a finished run.

    Parameters
    ----------
    run_dir : path
        Directory of the run.
    visit : str, optional
        Key of a visit.
    ccd : int, optional
        Number of a CCD: of all visits, or of the visit that is named, too.
    star : int, optional
        Identifier of a reference star; alone.
    registry : Registry, optional
        Plugins; by default all that are installed.

    Raises
    ------
    ConfigError
        If nothing is named, or a star together with something else.
    DataError
        If the run cannot be read, or does not know what is named.
    """
    if star is not None and (visit is not None or ccd is not None):
        raise ConfigError("a star is explained by itself: leave out the visit and the CCD")
    if star is None and visit is None and ccd is None:
        raise ConfigError("nothing to explain: name a visit, a CCD or a star")
    registry = registry or load_registry()
    products = open_run(run_dir, registry)
    run = OpenedRun(products, products.data(), registry)
    head = {
        "survey": run.data.survey,
        "band": run.data.band,
        "data_note": run.data.note,
        "mode": run.data.mode,
    }
    kind: Kind
    if star is not None:
        kind, facts = "star", explain_star(run, run.star(star))
    elif visit is None:
        kind, facts = "ccd", explain_ccd(run, run.ccd(int(ccd or 0)))
    else:
        kind = "visit" if ccd is None else "exposure"
        facts = explain_visit(run, run.visit(visit), None if ccd is None else run.ccd(ccd))
    return Explanation(kind, to_json({"kind": kind, **head, **facts}))
