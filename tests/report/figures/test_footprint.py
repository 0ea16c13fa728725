"""Fields that share stars have one group and one colour on the footprint, others not."""

from __future__ import annotations

import numpy as np
import pytest
from run_drawn import assert_drawn, made_up_run

from scrframe.report.figures.footprint import figure_footprint, group_name


def test_fields_that_share_stars_are_one_group_by_way_of_others():
    data = made_up_run(2400, 24)
    source, code = data.stars["source_id"].copy(), data.stars["visit_code"]
    field = data.visit_table.field[code]
    names = np.unique(field)
    # Eleven stars of 0 are in 1 too, eleven others of 1 in 2, and nine of 5 in 6: too few.
    for first, second, stars in ((0, 1, 11), (1, 2, 11), (5, 6, 9)):
        one, other = (np.flatnonzero(field == names[place]) for place in (first, second))
        source[other[-stars:]] = source[one[:stars]]
    product = figure_footprint(made_up_run(2400, 24, source_id=source))
    assert_drawn(product)
    group = dict(zip(product.data["field"], product.data["group"], strict=True))
    together = {names[0], names[1], names[2]}
    assert {name for name, letter in group.items() if letter == "A"} == together
    assert len(set(group.values())) == len(names) - 2
    assert "1 groups of 3 fields" in product.alt
    labels = [text.get_text() for text in product.figure.legends[0].texts]
    assert labels == ["A: 3 fields", f"alone: {len(names) - 3} fields"]
    middle = product.data[product.data["field"] == names[0]]["ra"][0]
    mine = data.star("ra_deg")[field == names[0]]
    assert middle == pytest.approx(mine.mean(), abs=1e-9)


def test_nothing_is_drawn_without_positions():
    nowhere = np.full(100, np.nan)
    assert figure_footprint(made_up_run(100, 4, ra_deg=nowhere, dec_deg=nowhere)) is None


def test_groups_have_letters():
    assert [group_name(number) for number in (0, 25, 26, 51, 52)] == ["A", "Z", "AA", "AZ", "BA"]
