"""What ships passes every check, and the kit says rightly what it cannot test."""

from __future__ import annotations

import pytest

from scrframe.plugin import Registry, load_registry
from scrframe.plugin.registry import HOOKS, KINDS
from scrframe.testing.fresh import share_process
from scrframe.testing.plugin_checks import CHECKS, find_subject, run_checks
from scrframe.testing.subject import Subject

#: Few trees are enough for a contract, and take a tenth of the time.
SETTINGS = {
    "random_forest": {"trees": 15},
    "extra_trees": {"trees": 15},
    "lightgbm": {"num_trees": 60},
}
#: The only checks that do not apply, by plugin.
NOT_TESTED = {
    # They need services, which the tests of scrframe.fetch have.
    **{
        name: {"check_plan", "check_delivery", "check_wanted"}
        for name in ("tap", "datalink", "http_files", "hats")
    },
    "vphas_casu": {"check_rows_in_memory"},  # FITS, in which headers tell half of it
    "lightgbm": {"check_smoother"},
    # It stands for no training at all.
    "none": {
        "check_deterministic",
        *(
            check.__name__
            for check in CHECKS["colour-model"]
            if check.__module__ == "scrframe.testing.models"
        ),
    },
}


def shipped() -> list[tuple[str, str]]:
    """Return kind and name of what this repository installs."""
    registry = load_registry()
    return [
        (kind, name)
        for kind, hook in KINDS.items()
        for name in registry.names(HOOKS[hook][0])
        if registry.provider(HOOKS[hook][0], name).distribution.startswith("scrframe")
    ]


SHIPPED = shipped()


@pytest.fixture(scope="module")
def subjects() -> dict[tuple[str, str], Subject]:
    """Return all subjects; one new process answers for all of them."""
    registry: Registry = load_registry()
    found = {
        (kind, name): find_subject(name, kind, settings=SETTINGS.get(name), registry=registry)[1]
        for kind, name in SHIPPED
    }
    share_process(list(found.values()))
    return found


def test_enough_is_there():
    names = {name for _, name in SHIPPED}
    assert names >= {
        "vphas_casu",
        "gaia_xp",
        "zgr23",
        "random_forest",
        "extra_trees",
        "lightgbm",
        "ridge",
        "gaussian_process",
        "group",
        "bin",
        "bilinear",
        "polynomial",
        "random_walk",
        "spline",
        "slope",
        "sky_cell",
        "spread",
        "fits_catalogue",
    }
    assert {kind for kind, _ in SHIPPED} == set(KINDS)


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_shipped_plugin_passes(subjects, kind, name):
    if name == "dust_extinction":
        pytest.importorskip(name, reason="dust_extinction is not installed: scrframe[dust]")
    outcomes = run_checks(kind, subjects[kind, name])
    assert [outcome for outcome in outcomes if outcome.status == "failed"] == []
    untested = {outcome.check for outcome in outcomes if outcome.status == "not tested"}
    assert untested <= NOT_TESTED.get(name, set())
