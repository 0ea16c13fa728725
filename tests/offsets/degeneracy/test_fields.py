"""What ties fields, by hand: two that overlap with dithers, and one alone with a single visit."""

import numpy as np

from scrframe.offsets.degeneracy.fields import LEAST_SHARED, field_ties


def survey():
    """Return star, visit, field of each visit and positions."""
    rows = []
    for visit, shift in ((0, 0.0), (1, 0.05)):  # field a, dithered; stars 0 to 59
        rows += [(star, visit, 10 + 0.01 * star + shift, 0.0) for star in range(60)]
    for visit in (2, 3):  # field b, not dithered; stars 45 to 99, of which 15 are in a as well
        rows += [(star, visit, 10 + 0.01 * star, 0.0) for star in range(45, 100)]
    rows += [(star, 4, 200 + 0.01 * star, 5.0) for star in range(100, 120)]  # field c
    star, visit, ra, dec = map(np.array, zip(*rows, strict=True))
    return star, visit, np.array(["a", "a", "b", "b", "c"]), ra, dec


def test_counts_and_groups():
    a, b, c = field_ties(*survey())
    assert (a.field, a.visits, a.repeated_stars, a.shared_stars) == ("a", 2, 60, 15)
    assert (b.visits, b.repeated_stars, b.overlapping_fields, b.shared_stars) == (2, 55, 1, 15)
    assert (c.visits, c.repeated_stars, c.overlapping_fields, c.shared_stars) == (1, 0, 0, 0)
    assert (a.group, b.group, c.group) == (0, 0, 1)


def test_dithers_are_the_shift_between_the_visits():
    a, b, _ = field_ties(*survey())
    assert abs(a.dither_deg - 0.025) < 1e-3 and b.dither_deg == 0.0


def test_it_is_said_what_that_allows():
    a, b, c = field_ties(*survey())
    assert "repeats and dithers" in a.message and "1 overlapping field" in a.message
    assert "without dithers" in b.message
    assert "one visit" in c.message and "no field overlaps" in c.message


def test_few_common_stars_tie_nothing():
    star, visit, field, ra, dec = survey()
    few = ~((visit > 1) & (star >= 45) & (star < 60 - LEAST_SHARED // 2))
    a, b, _ = field_ties(star[few], visit[few], field, ra[few], dec[few])
    assert a.overlapping_fields == b.overlapping_fields == 0 and a.group != b.group
