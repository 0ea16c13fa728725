"""Visits that several parts hold are matched as one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from scrframe.errors import DataError
from scrframe.observer import Observer
from scrframe.plugin import Part
from scrframe.products.files import save_arrow
from scrframe.run.sample.assembly import CutFlow
from scrframe.run.sample.detections import PLACE, FirstPass, PartRead
from scrframe.run.sample.matching import detections_of, groups, match_all, match_group
from scrframe.run.sample.visits import merge_visits, refuse_doubles, visits_of
from scrframe.scr.match import sky_index
from scrframe.tables import Detections, Footprint, ReferenceStars

RADIUS = 1.0


def detections(visit, ra, dec):
    count = len(ra)
    ones = np.ones(count)
    numbers = {"ccd": ones.astype(int), "extension": ones.astype(int), "row": np.arange(count)}
    labels = {"visit": visit, "band": ["u"] * count, "file": ["f"] * count}
    rest = dict.fromkeys(("x", "y", "mag", "mag_err"), ones)
    return Detections.from_columns(
        {**labels, **numbers, **rest, "mjd": 57388.5 * ones, "ra": ra, "dec": dec}
    )


def stars(ra, dec):
    count = len(ra)
    zero = np.zeros(count)
    return ReferenceStars.from_columns(
        {
            "source_id": np.arange(count),
            "ref_ra": ra,
            "ref_dec": dec,
            "pmra": zero,
            "pmdec": zero,
            "ref_epoch": zero + 2016.0,
            "reference_mag": zero,
            "reference_mag_err": zero,
        }
    )


@pytest.fixture
def save(tmp_path: Path):
    """Return a function that makes a part as the first pass leaves it; some rows were cut."""

    def make(name, table, cut=()):
        cut = np.isin(np.arange(len(table)), cut)
        target, others = tmp_path / f"{name}.arrow", tmp_path / f"{name}.others.arrow"
        save_arrow(target, table.filter(~cut).arrow)
        save_arrow(others, table.filter(cut).arrow.select(PLACE))
        part = Part(name, tmp_path / name, "", {})
        return PartRead(part, target, others, (len(table),) * 3, tuple(visits_of(table)))

    return make


def test_parts_that_share_visits_are_one_group(save):
    def part(name, *visits):
        place = np.linspace(1, 2, len(visits))
        return save(name, detections(list(visits), place, place))

    parts = [
        part("a", "1"),
        part("b", "2", "3"),
        part("c", "4"),
        part("d", "3", "4"),
        part("e", "5"),
        part("f", "1"),
    ]
    found = [[each.part.key for each in group] for group in groups(parts)]
    assert found == [["a", "f"], ["b", "c", "d"], ["e"]]


def test_split_visits_are_matched_as_whole_ones(save):
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(10, 10.02, (2, 400))  # crowded: neighbours within the radius
    table = detections(np.array(["v1", "v2"])[rng.integers(0, 2, 400)], ra, dec)
    index = sky_index(stars(ra[:300] + 1e-5, dec[:300]))
    cut = rng.choice(400, 40, replace=False)
    whole, row, distance = match_group([save("whole", table, cut)], index, RADIUS)
    order = rng.permutation(400)
    pieces = [
        save(f"piece{number}", table.take(rows), np.flatnonzero(np.isin(rows, cut)))
        for number, rows in enumerate(np.array_split(order, 3))
    ]
    (group,) = groups(pieces)
    split, split_row, split_distance = match_group(group, index, RADIUS)
    back, forth = np.lexsort([whole["dec"], whole["ra"]]), np.lexsort([split["dec"], split["ra"]])
    np.testing.assert_array_equal(split["ra"][forth], whole["ra"][back])
    np.testing.assert_array_equal(split_row[forth], row[back])
    np.testing.assert_array_equal(split_distance[forth], distance[back])
    assert (row >= 0).sum() > 100
    # Each star once in each visit.
    taken = split_row[split_row >= 0], split["visit"][split_row >= 0]
    assert len(set(zip(*taken, strict=True))) == len(taken[0])


def test_copies_are_refused(save):
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(10, 11, (2, 50))
    table = detections(["v"] * 50, ra, dec)
    index = sky_index(stars(ra, dec))
    parts = [save("one.csv", table), save("two.csv", table.take(np.arange(40)))]
    with pytest.raises(DataError, match=r"visit v has the same detections in one\.csv and two\.c"):
        match_group(parts, index, RADIUS)


def test_merged_visits_hold_all_their_detections():
    rng = np.random.default_rng(4)
    ra, dec = 359.5 + rng.uniform(0, 1, 100), rng.uniform(-60.5, -59.5, 100)
    whole = detections(["v"] * 100, ra % 360, dec)
    parts = [whole.take(np.arange(30)), whole.take(np.arange(30, 100))]
    (merged,) = merge_visits(visit for part in parts for visit in visits_of(part))
    (direct,) = visits_of(whole)
    assert merged.detections == 100 and merged.ccds == direct.ccds
    assert abs((merged.ra_deg - direct.ra_deg + 180) % 360 - 180) < 0.01
    assert (
        Footprint(
            np.array([merged.ra_deg]), np.array([merged.dec_deg]), merged.radius_deg * (1 + 1e-9)
        )
        .contains(ra, dec)
        .all()
    )
    assert merged.radius_deg < 1


def refuse(*parts):
    first = FirstPass(parts, {})
    refuse_doubles(first.visits, partial(detections_of, first))


def test_one_exposure_under_two_keys_is_refused(save):
    rng = np.random.default_rng(3)
    ra, dec, x = rng.uniform(10, 10.2, (3, 200))
    pixels = {"x": 1e4 * x, "y": 1e4 * dec}
    one = detections(["a"] * 200, ra, dec).with_columns(pixels)
    noise = rng.normal(0, 0.1 / 3600, 200)  # as another reduction gives it
    other = detections(["b"] * 200, ra + noise, dec).with_columns(pixels)
    later = other.with_columns({"mjd": other["mjd"] + 0.01})
    moved = other.with_columns({"x": other["x"] + 30})
    first = save("one", one, range(20))
    for number, table in enumerate((later, moved)):
        refuse(first, save(f"other{number}", table))
    copy = one.with_columns({"visit": ["b"] * 200, "mjd": one["mjd"] + 40})
    for double in (other, copy):
        with pytest.raises(DataError, match=r"visits a \(f\) and b \(f\) are one exposure under"):
            refuse(save("whole", one), save("double", double))
    forced = copy.with_columns({"mag": one["mag"] + 0.01})  # photometry at given places
    refuse(save("whole", one), save("forced", forced))


def test_visits_that_hardly_match_are_named(save):
    rng = np.random.default_rng(6)
    ra, dec = rng.uniform(10, 10.5, (2, 300))
    moved = ra + np.repeat([0, 0, 0.01], 100)
    tables = [
        detections([key] * 100, moved[at : at + 100], dec[at : at + 100])
        for key, at in (("a", 0), ("b", 100), ("c", 200))
    ]
    parts = [save(table["visit"][0], table) for table in tables]
    told = []
    observer = Observer()
    observer.warning = told.append
    match_all(FirstPass(tuple(parts), {}), stars(ra, dec), RADIUS, (), CutFlow(), observer)
    assert len(told) == 1
    assert told[0].startswith(
        "visit c (f): 0 of 100 detections are reference stars, of other visits"
    )
