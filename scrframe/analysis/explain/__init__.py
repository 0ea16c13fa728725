"""Explain an offset: of a visit, a CCD, an exposure, or a star's detections."""

from __future__ import annotations

from pathlib import Path

from scrframe.analysis.explain.ccd import explain_ccd
from scrframe.analysis.explain.opened_run import Explanation, OpenedRun
from scrframe.analysis.explain.star import explain_star
from scrframe.analysis.explain.visit import explain_visit
from scrframe.errors import ConfigError
from scrframe.plugin import Registry, load_registry
from scrframe.products.finished_run import RunProducts, open_run


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

    Returns
    -------
    VisitExplanation, CcdExplanation or StarExplanation
        Of a visit or one CCD in it, of a CCD, of a star.

    Raises
    ------
    ConfigError
        If nothing is named, or a star together with something else.
    DataError
        If the run cannot be read, or does not know what is named.
    """
    _one_thing(visit, ccd, star)
    registry = registry or load_registry()
    return explain_run(open_run(run_dir, registry), registry, visit=visit, ccd=ccd, star=star)


def explain_run(
    products: RunProducts,
    registry: Registry,
    *,
    visit: str | None = None,
    ccd: int | None = None,
    star: int | None = None,
) -> Explanation:
    """Explain an offset of a run that is open; as `explain`."""
    _one_thing(visit, ccd, star)
    run = OpenedRun(products, products.data(), registry)
    if star is not None:
        return explain_star(run, run.star(star))
    if visit is None:
        return explain_ccd(run, run.ccd(int(ccd or 0)))
    return explain_visit(run, run.visit(visit), None if ccd is None else run.ccd(ccd))


def _one_thing(visit: str | None, ccd: int | None, star: int | None) -> None:
    if star is not None and (visit is not None or ccd is not None):
        raise ConfigError("a star is explained by itself: leave out the visit and the CCD")
    if star is None and visit is None and ccd is None:
        raise ConfigError("nothing to explain: name a visit, a CCD or a star")
