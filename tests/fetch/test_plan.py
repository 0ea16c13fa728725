"""What a plan says: regions and identifiers, names of bulk files, cost, and lists for others."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import numpy as np
import pytest
from archive_services import Services, serving
from astropy import units
from mocpy import MOC

import scrframe
from scrframe.builtin.reference_catalogues.gaia.parts import named_bounds
from scrframe.errors import ConfigError, DataError, ScrframeError
from scrframe.fetch import footprint
from scrframe.fetch.run import Fetching, Order, plan_fetch
from scrframe.fetch.script import lines_of, write_script
from scrframe.plugin import SourceRanges, Wanted
from scrframe.simulate.catalogues import nested_pixel

#: The first ten names of the bulk folders, as the archive lists them.
NAMES = [
    "000000-003111",
    "003112-005263",
    "005264-006601",
    "006602-007952",
    "007953-010234",
    "010235-012597",
    "012598-014045",
    "014046-015369",
    "015370-016240",
    "016241-017018",
]


def test_bulk_names_are_ranges_of_identifiers():
    bounds = [named_bounds(f"GaiaSource_{name}.csv.gz") for name in NAMES]
    for name, (low, high) in zip(NAMES, bounds, strict=True):
        first, last = map(int, name.split("-"))
        assert low // 8796093022208 == first and high // 8796093022208 == last
        assert (low - 1) // 8796093022208 == first - 1 and (high + 1) // 8796093022208 == last + 1
    for (_, high), (low, _) in pairwise(bounds):
        assert low == high + 1  # none is left out between two files


def test_only_files_that_the_region_touches():
    # Pixels of level 8 from the third file's last to the fifth's first.
    ranges = SourceRanges.of_pixels(np.arange(6601, 7954), 8)
    touched = [name for name in NAMES if ranges.touches(*named_bounds(f"GaiaSource_{name}.csv.gz"))]
    assert touched == NAMES[2:5]


def test_regions_hold_the_stars_of_their_sky(tmp_path):
    rng = np.random.default_rng(4)
    path = tmp_path / "discs.csv"
    path.write_text("ra,dec,radius\n10,20,1.5\n359.9,-60,0.7\n200,89.5,1\n")
    ranges = footprint.of_file(path).ranges
    ra, dec = rng.uniform(0, 360, 40_000), np.rad2deg(np.arcsin(rng.uniform(-1, 1, 40_000)))
    ra[:20_000] = rng.uniform(7, 13, 20_000)
    dec[:20_000] = rng.uniform(17, 23, 20_000)
    source_id = (nested_pixel(ra, dec, 12) << 35) + rng.integers(0, 1 << 35, len(ra))
    inside = MOC.from_cones(
        [10, 359.9, 200] * units.deg,
        [20, -60, 89.5] * units.deg,
        radius=[1.5, 0.7, 1] * units.deg,
        max_depth=footprint.LEVEL,
        union_strategy="small_cones",
    ).contains_lonlat(ra * units.deg, dec * units.deg)
    assert 1000 < inside.sum() < 20_000
    assert np.array_equal(ranges.contains(source_id), inside)
    discs = np.pi * (1.5**2 + 0.7**2 + 1)
    assert 1 < ranges.area_deg2 / discs < 1.2  # whole pixels of 3.4 arcmin about discs of degrees


def test_arithmetic_of_regions():
    rng = np.random.default_rng(5)
    pixels = rng.choice(2000, 700, replace=False), rng.choice(2000, 700, replace=False)
    first, second = (SourceRanges.of_pixels(each, 8) for each in pixels)
    left = np.setdiff1d(*pixels)
    rest = first.less(second)
    again = SourceRanges.of_pixels(left, 8)
    probe = rng.integers(0, 2000 << 43, 5000)
    assert np.array_equal(rest.contains(probe), np.isin(probe >> 43, left))
    assert np.array_equal(rest.contains(probe), again.contains(probe))
    assert rest.area_deg2 == pytest.approx(len(left) / (12 * 4**8) * 41252.96, rel=1e-6)
    assert len(first.less(first)) == 0


def test_wanted_stars():
    ids = np.array([5, 9, 12], dtype=np.int64) << 43
    ranges = SourceRanges.of_pixels(np.arange(0, 10), 8)
    seen = np.array([1, 5, 9, 12], dtype=np.int64) << 43
    assert Wanted("sources", ranges).chosen(seen).tolist() == [True, True, True, False]
    assert Wanted("spectra", ranges, ids).chosen(seen).tolist() == [False, True, True, False]
    assert not Wanted("spectra", ranges, ids[:0]).chosen(seen).any()


@pytest.fixture
def survey(tiny_survey):
    return scrframe.load_survey(tiny_survey.description, overrides=tiny_survey.changes)


def drawn_names(prefix: str) -> dict[str, bytes]:
    """Return 3,386 files cut as the bulk folders are; only their names are looked at."""
    rng = np.random.default_rng(6)
    cuts = np.sort(rng.choice(12 * 4**8 - 1, 3385, replace=False)) + 1
    edges = [0, *cuts.tolist(), 12 * 4**8]
    return {
        f"{prefix}_{low:06d}-{high - 1:06d}.csv.gz": b"0" * 1000 for low, high in pairwise(edges)
    }


def test_a_plan_of_2284_fields(survey, tmp_path):
    centres = tmp_path / "fields.csv"
    rng = np.random.default_rng(7)
    ra, dec = rng.uniform(0, 360, 2284), rng.uniform(-70, 10, 2284)
    rows = [f"{a:.6f},{b:.6f}" for a, b in zip(ra, dec, strict=True)]
    centres.write_text("\n".join(["ra,dec", *rows, ""]))
    files = drawn_names("GaiaSource") | drawn_names("XpContinuousMeanSpectrum")
    with serving(Services({}, files)) as services:
        (tmp_path / "services.yaml").write_text(
            "services: {bulk: {guest: {pause: 0}, dr3: {"
            f'sources: {{http_files: {{url: "{services.url}/files/", pattern: GaiaSource}}}},'
            f' spectra: {{http_files: {{url: "{services.url}/files/", pattern: Xp}}}}}}}}}}'
        )
        order = Order(str(tmp_path), centres, 0.7, ("sources", "spectra"), "bulk")
        start = time.perf_counter()
        planned = plan_fetch(Fetching(survey, order))
        text = "\n".join("\n".join(lines_of(each)) for each in planned)
        assert time.perf_counter() - start < 10
        assert set(services.seen) == {"listing", "file"}  # of files only their sizes
    assert not list(tmp_path.glob("gaia*"))
    ranges = planned[0].step.wanted.ranges
    names = [piece.ask["name"] for piece in planned[0].plan.pieces]
    expected = [
        name
        for name in files
        if name.startswith("GaiaSource") and ranges.touches(*named_bounds(name))
    ]
    assert names == expected
    assert planned[0].plan.gigabytes == pytest.approx(len(names) * 1e-6)
    # The estimate of the stars: all files hold as many, in proportion to the pixels touched.
    whole = ranges.area_deg2 / 41252.96 * 219_197_643
    assert 0.5 * whole < planned[0].plan.stars < 2 * whole
    assert "not tried live by scrframe" in text
    folder = tmp_path / "fetch"
    write_script(planned, folder)
    assert len((folder / "sources.urls").read_text().splitlines()) == len(names)
    sums = re.findall(r"checksum=md5=([0-9a-f]{32})\n", (folder / "sources.aria2").read_text())
    assert len(sums) == len(names)


def test_a_plan_counts_by_the_service_and_fetches_nothing(survey, bare_root, services, few):
    planned = {
        each.step.wanted.product: each
        for each in plan_fetch(Fetching(survey, Order(data=str(bare_root))))
    }
    assert set(services.seen) == {"sync"}
    assert not (bare_root / "gaia_source").exists()
    ranges = planned["sources"].step.wanted.ranges
    table = few["gaiadr3.gaia_source"]
    wanted = ranges.contains(table["source_id"].to_numpy())
    wanted &= np.array(table["has_xp_continuous"].to_pylist())
    assert planned["sources"].plan.stars == pytest.approx(wanted.sum(), rel=0.5)
    assert (
        planned["sources"]
        .plan.queries[0]
        .startswith("SELECT t.source_id, t.ref_epoch, t.ra, t.dec")
    )
    assert planned["spectra"].plan.requests == -(-planned["sources"].plan.stars // 40)


def test_a_service_that_is_away_is_said(survey, bare_root, services):
    services.faults = {"sync": ["503"] * 99}
    (sources, *_) = plan_fetch(Fetching(survey, Order(data=str(bare_root), only=("sources",))))
    assert "down for a moment" in sources.plan.notes[0]
    assert sources.plan.stars == pytest.approx(
        219_197_643 / 41252.96 * sources.step.wanted.ranges.area_deg2
    )


def test_a_listing_that_cannot_be_had_is_said(survey, bare_root, services):
    services.faults = {"listing": ["503"] * 9}
    order = Order(str(bare_root), wished="folders", only=("sources", "extinctions"))
    planned = plan_fetch(Fetching(survey, order))
    text = "\n".join("\n".join(lines_of(each)) for each in planned)
    assert text.count("the service does not answer, so that its files are not known") == 2
    assert "volume   not known" in text and "time     not known" in text
    assert services.seen == ["listing", "listing"]  # each once: a plan does not wait


WRONG_SERVICES = {
    "service: {}": "has other keys than defaults and services",
    "services: {gaia: {dr3: {stars: {}}}}": r"gaia has dr3\.stars; expected",
    "services: {gaia: {dr3: {sources: {tap: {tabel: x}}}}}": r"sources\.tap: tabel: Extra",
    "services: {gaia: {guest: {pause: soon}}}": r"pause: Input should be a valid number",
    "services: {gaia: {dr3: {sources: {kind: ftp}}}}": 'no archive is called "ftp"',
}


@pytest.mark.parametrize("text", WRONG_SERVICES)
def test_wrong_services_are_told(survey, tmp_path, text):
    (tmp_path / "services.yaml").write_text(text)
    path = tmp_path / "moc.txt"
    path.write_text("8/100-120\n")
    with pytest.raises(ScrframeError, match=WRONG_SERVICES[text]):
        plan_fetch(Fetching(survey, Order(str(tmp_path), path, only=("sources",))))


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"wished": "giaa"}, 'no service is called "giaa"; did you mean "gaia"'),
        ({"only": ("stars",)}, "--only stars: expected one of sources, spectra, extinctions"),
    ],
)
def test_wrong_orders_are_told(survey, tmp_path, order, words):
    path = tmp_path / "moc.txt"
    path.write_text("8/100-120\n")
    with pytest.raises(ConfigError, match=re.escape(words)):
        plan_fetch(Fetching(survey, Order(str(tmp_path), path, **order)))


def test_mocs_of_all_forms(tmp_path):
    moc = MOC.from_str("8/100-120 9/7 10/3")
    regions = []
    for name, form in (("a.fits", "fits"), ("a.json", "json"), ("a.txt", "ascii")):
        moc.save(tmp_path / name, format=form)
        regions.append(footprint.of_file(tmp_path / name).ranges)
    assert all(list(each) == list(regions[0]) for each in regions)
    assert regions[0].area_deg2 == pytest.approx(moc.sky_fraction * 41252.96, rel=1e-6)
    (tmp_path / "no.txt").write_text("nothing of the kind")
    with pytest.raises(DataError, match=r"no\.txt.*has no column ra"):
        footprint.of_file(tmp_path / "no.txt")
