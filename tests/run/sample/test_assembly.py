"""Joins and cuts of the samples."""

import numpy as np

from scrframe.run.sample.assembly import CutFlow, derive_for, join_extinctions
from scrframe.tables import Detections, Extinctions
from scrframe.tables.cuts import Cut


def matched():
    ones = np.ones(3)
    return Detections.from_columns(
        {
            "visit": ["v"] * 3,
            "band": ["u"] * 3,
            "file": ["f"] * 3,
            "ccd": [1, 1, 1],
            "extension": [1, 1, 1],
            "row": [0, 1, 2],
            "mjd": ones,
            "x": ones,
            "y": ones,
            # At the Galactic pole, in the plane, and at the pole again.
            "ra": [192.859508, 266.404988, 192.859508],
            "dec": [27.128336, -28.936178, 27.128336],
            "mag": ones,
            "mag_err": ones,
            "source_id": [5, 6, 7],
        }
    )


def test_a_cut_may_mix_derived_columns_of_detections_with_later_ones():
    found = Extinctions.from_columns(
        {"source_id": [5, 6, 7], "extinction": [0.1, 0.1, 2.0], "extinction_err": [0.0] * 3}
    )
    flow = CutFlow()
    kept = join_extinctions(matched(), found, [Cut.parse("abs(gal_b) > 50 * extinction")], flow)
    assert kept["source_id"].tolist() == [5]
    assert [row["detections"] for row in flow.rows] == [3, 1]


def test_only_what_cuts_name_is_derived():
    table = derive_for([Cut.parse("gal_b > 3"), Cut.parse("mag < 3")], matched())
    assert set(table.names) - set(matched().names) == {"gal_b"}
