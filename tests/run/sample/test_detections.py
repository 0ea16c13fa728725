"""What the first pass refuses."""

from pathlib import Path

import numpy as np
import pytest

from scrframe.errors import DataError
from scrframe.observer import Observer
from scrframe.plugin import NoConfig, Part, SurveyLoader
from scrframe.run.sample.detections import first_pass, visits_of
from scrframe.run.workers import open_executor
from scrframe.run.workspace import Workspace
from scrframe.tables import Detections


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


def test_a_visit_without_a_date_is_refused():
    with pytest.raises(DataError, match="visit v has no date"):
        visits_of(detections(2, mjd=np.nan))
