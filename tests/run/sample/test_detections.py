"""What the first pass refuses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scrframe.errors import DataError
from scrframe.observer import Observer
from scrframe.plugin import NoConfig, Part, SurveyLoader
from scrframe.run.sample.assembly import CutFlow, note_first_pass
from scrframe.run.sample.detections import first_pass
from scrframe.run.sample.visits import (
    VISIT_DAYS,
    bands_of,
    merge_visits,
    refuse_mixed_bands,
    visits_of,
)
from scrframe.run.workers import open_executor
from scrframe.run.workspace import Workspace
from scrframe.tables import Detections
from scrframe.tables.cuts import Cut


def detections(rows, mjd=56000.0):
    label, one = ["v"] * rows, np.ones(rows)
    columns = {
        "visit": label,
        "band": label,
        "file": label,
        "ccd": one.astype(int),
        "extension": one.astype(int),
        "row": np.arange(rows),
        "ra": one,
        "dec": one,
        "mjd": one * mjd,
        "x": one,
        "y": one,
        "mag": one,
        "mag_err": one,
    }
    return Detections.from_columns(columns)


def read_nothing(part, config, columns):
    return detections(0)


def test_catalogues_without_a_single_detection_are_refused(tmp_path):
    part = Part("a.fits", Path("a.fits"), "1", {})
    loader = SurveyLoader(
        "empty", "", "1", parts=lambda config, root: [part], read=read_nothing, columns=()
    )
    space = Workspace.open(tmp_path / "run", "key")
    with open_executor(1) as executor, pytest.raises(DataError, match="no catalogue holds a det"):
        first_pass(executor, space, loader, NoConfig(), [part], (), (), "stop", Observer())


def test_what_is_unknown_and_what_is_flagged_is_counted_by_itself(tmp_path):
    mag = np.array([np.nan, 15.0, 15.0, 15.0, 15.0, 25.0])
    mag_err = np.array([0.1, np.nan, 0.1, 0.1, 0.1, 0.1])
    table = detections(6).with_columns(
        {"mag": mag, "mag_err": mag_err, "usable": np.array([True, True, False, True, True, True])}
    )
    part = Part("a.fits", Path("a.fits"), "1", {})
    loader = SurveyLoader(
        "six", "", "1", parts=lambda config, root: [part], read=lambda *_: table, columns=()
    )
    space = Workspace.open(tmp_path / "run", "key")
    cuts = (Cut.parse("mag < 20"),)
    with open_executor(1) as executor:
        first = first_pass(
            executor, space, loader, NoConfig(), [part], (), cuts, "stop", Observer()
        )
    flow = CutFlow()
    note_first_pass(flow, first, cuts)
    assert [(row["cut"], row["detections"]) for row in flow.rows] == [
        ("read", 6),
        ("magnitude and error known", 4),
        ("not flagged", 3),
        ("mag < 20", 2),
    ]


def test_a_visit_without_a_date_is_refused():
    with pytest.raises(DataError, match="visit v has no date"):
        visits_of(detections(2, mjd=np.nan))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mjd": 56000.0 + 1.1 * VISIT_DAYS}, r"has the date 56000\.0+ in v and 56001"),
        ({"field": "b"}, "is in the field '' in v and 'b' in v"),
        ({"ra_deg": 61.0}, "is 60 deg from where it is in v"),
    ],
)
def test_pieces_of_visits_that_are_two_exposures_are_refused(change, says):
    (piece,) = visits_of(detections(2))
    merge_visits([piece, piece])
    with pytest.raises(DataError, match=f"visit v {says}.*single exposure"):
        merge_visits([piece, replace(piece, **change)])


def test_a_visit_in_two_fields_is_refused():
    with pytest.raises(DataError, match="visit v is in the fields a and b"):
        visits_of(detections(2).with_columns({"field": ["a", "b"]}))


def test_detections_of_two_bands_are_refused():
    table = detections(4).with_columns({"band": ["u", "", " u ", ""]})
    assert bands_of(table) == ["u"]
    refuse_mixed_bands({"a": ["u"], "b": ["u"], "c": []})
    with pytest.raises(DataError, match=r"bands g, u \(g in b, u in a\); keep one .* rows"):
        refuse_mixed_bands({"a": ["u"], "b": ["g"]})


def test_a_visit_of_rows_all_over_the_sky_is_refused():
    with pytest.raises(DataError, match=r"visit .* deg from its middle in .* single exposure"):
        visits_of(detections(2).with_columns({"ra": [0.0, 200.0], "dec": [0.0, -30.0]}))
