"""The descriptions that ship: valid, in step with their pages, and with a public schema."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

import scrframe
from scrframe.builtin.survey_loaders.table.settings import TableConfig
from scrframe.statistics.sky import EqualAreaGrid
from scrframe.tables.cuts import Cut

ROOT = Path(__file__).parents[2]
#: Descriptions of one survey; others join several of them.
DESCRIPTIONS = [
    path
    for path in sorted((ROOT / "surveys").glob("*.yaml"))
    if "loader" in yaml.safe_load(path.read_text(encoding="utf-8"))
]
#: Those that the loader of tables reads, with their page.
PAGES = {
    "nsc_dr2_u": "nsc_dr2_u.md",
    "rubin_dp1_u": "rubin_dp1_u.md",
    "skymapper_dr4_u": "skymapper_dr4.md",
    "skymapper_dr4_v": "skymapper_dr4.md",
    "sdss_s82_u": "sdss_s82_u.md",
}
#: Detectors of each camera.
DETECTORS = {
    "nsc_dr2_u": 62,
    "rubin_dp1_u": 9,
    "skymapper_dr4_u": 32,
    "skymapper_dr4_v": 32,
    "sdss_s82_u": 6,
}
#: Columns by table that the description of DP1 may name.
SCHEMA = ROOT / "tests" / "fixtures" / "surveys" / "rubin_dp1_columns.csv"
#: Centres of the fields of DP1 with u visits (RA, Dec in deg); visits are dithered round them.
RUBIN_FIELDS = {
    "ECDFS": (53.1, -28.1),
    "EDFS": (59.1, -48.7),
    "Rubin_SV_095_-25": (95.0, -25.0),
    "Seagull": (106.3, -10.5),
}
DITHER_DEG = 0.4
#: Values of SDSS's PhotoFlags, as its database lists them.
PHOTO_FLAGS = {
    "BRIGHT": 0x2,
    "EDGE": 0x4,
    "PEAKCENTER": 0x20,
    "NOPROFILE": 0x80,
    "SATURATED": 0x40000,
    "NOTCHECKED": 0x80000,
    "BAD_COUNTS_ERROR": 0x10000000000,
    "SATUR_CENTER": 0x80000000000,
    "DEBLEND_NOPEAK": 0x400000000000,
    "PSF_FLUX_INTERP": 0x800000000000,
}


def table_config(name: str) -> TableConfig:
    survey = scrframe.load_survey(ROOT / "surveys" / f"{name}.yaml")
    config = survey.loader.settings
    assert isinstance(config, TableConfig)
    return config


def columns_by_table(config: TableConfig) -> list[set[str]]:
    """Return the columns that are read of the catalogues and of each joined table."""
    joined = {name for join in config.join for name in join.columns}
    named = {name for source in config.columns.values() for name in source.names}
    named |= {flag.column for flag in config.flags}
    named |= {name for text in config.rows for name in Cut.parse(text).names}
    named |= {name for join in config.join for name in join.on}
    return [named - joined, *({*join.on.values(), *join.columns.values()} for join in config.join)]


def test_every_description_of_a_table_has_a_page() -> None:
    tables = {
        path.stem for path in DESCRIPTIONS if scrframe.load_survey(path).loader.kind == "table"
    }
    assert tables >= set(PAGES)
    for page in PAGES.values():
        assert (ROOT / "docs" / "surveys" / page).is_file()


@pytest.mark.parametrize("path", DESCRIPTIONS, ids=lambda path: path.stem)
def test_is_valid_and_called_as_its_file(path: Path) -> None:
    survey = scrframe.load_survey(path)
    assert survey.name == path.stem
    assert path.read_text(encoding="utf-8").startswith("# ")  # what lists show


@pytest.mark.parametrize("name", PAGES)
def test_queries_of_the_page_give_what_the_description_reads(name: str) -> None:
    text = (ROOT / "docs" / "surveys" / PAGES[name]).read_text(encoding="utf-8")
    (block,) = re.findall(r"^```sql\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    asked = [
        {each.strip() for each in columns.split(",")}
        for columns in re.findall(r"SELECT\s+(.*?)\s+FROM", block, flags=re.DOTALL)
    ]
    by_table = columns_by_table(table_config(name))
    # The order of the queries is free; each table needs one that gives its columns.
    for columns in by_table:
        assert any(columns <= each for each in asked), f"no query gives {sorted(columns)}"
    assert len(asked) == len(by_table)


@pytest.mark.parametrize("name", PAGES)
def test_page_explains_every_column(name: str) -> None:
    text = (ROOT / "docs" / "surveys" / PAGES[name]).read_text(encoding="utf-8")
    marked = set(re.findall(r"[A-Za-z_0-9]+", " ".join(re.findall(r"`([^`\n]+)`", text))))
    for columns in columns_by_table(table_config(name)):
        flags = {each for each in columns if each.startswith("pixelFlags_")}  # named as one
        assert columns - flags <= marked


def test_columns_of_rubin_are_those_of_the_schema() -> None:
    with SCHEMA.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    schema = [{row["column"] for row in rows if row["table"] == table} for table in TABLES]
    config = table_config("rubin_dp1_u")
    assert columns_by_table(config) == schema
    units = {row["column"]: row["unit"] for row in rows}
    said = {
        source.column: {"mjd": "d"}.get(source.unit, source.unit)
        for source in config.columns.values()
        if source.unit is not None and source.column is not None
    }
    assert said == {column: units[column] for column in said}
    booleans = {row["column"] for row in rows if row["datatype"] == "boolean"}
    plain = {flag.column for flag in config.flags if flag.bad_bits is None and not flag.good}
    assert booleans < plain
    assert plain - booleans == {"deblend_nChild"}


TABLES = ("Source", "Visit")


def test_each_field_of_rubin_is_one_tile() -> None:
    source = table_config("rubin_dp1_u").source("field")
    assert source.tile is not None and source.size is not None
    cells = EqualAreaGrid(source.size)
    found = []
    for ra, dec in RUBIN_FIELDS.values():
        turn = np.linspace(0, 2 * np.pi, 33)
        east = ra + DITHER_DEG * np.cos(turn) / np.cos(np.deg2rad(dec))
        cell = cells.cell(east, dec + DITHER_DEG * np.sin(turn))
        assert len(np.unique(cell)) == 1
        found.append(int(cell[0]))
    assert len(set(found)) == len(RUBIN_FIELDS)


def test_flags_of_sdss() -> None:
    bad, binned = table_config("sdss_s82_u").flags
    assert bad.bad_bits == sum(PHOTO_FLAGS.values())
    assert binned.good and binned.bad_bits == 0x10000000  # BINNED1


@pytest.mark.parametrize("name", PAGES)
def test_detectors_are_complete_and_apart(name: str) -> None:
    settings = table_config(name).camera
    assert settings is not None
    camera = settings.camera()
    first = 0 if name == "rubin_dp1_u" else 1
    assert camera.ccd.tolist() == list(range(first, first + DETECTORS[name]))
    scale = camera.pixel_scale_arcsec / 3600
    east = np.abs(camera.xi_deg[:, None] - camera.xi_deg) >= camera.nx * scale
    north = np.abs(camera.eta_deg[:, None] - camera.eta_deg) >= camera.ny * scale
    apart = east | north
    np.fill_diagonal(apart, val=True)
    assert apart.all()


def test_field_of_decam_is_round() -> None:
    settings = table_config("nsc_dr2_u").camera
    assert settings is not None
    camera = settings.camera()
    # DECam's field has a radius of 1.1 deg; centres of its outermost CCDs lie within.
    assert 0.85 < np.hypot(camera.xi_deg, camera.eta_deg).max() < 1.0
    assert camera.xi_deg.mean() == pytest.approx(0, abs=1e-3)
    assert camera.eta_deg.mean() == pytest.approx(0, abs=1e-3)
