from __future__ import annotations

import json

import numpy as np
import pytest
from astropy.table import Table

from scrframe.checks.run_checks import write_anomalies
from scrframe.checks.verdict import Anomaly


def test_table_of_anomalies_reads_back(tmp_path):
    path = tmp_path / "anomalies.ecsv"
    jump = Anomaly("jump", {"ccd": np.int64(7)}, 0.01, 8.0, "The offset of CCD 7 jumps.")
    column = Anomaly("bad_column", {"ccd": 11, "x1_pix": 3}, float("nan"), 5.5, "CCD 11 ...")
    write_anomalies(path, (jump, column))
    table = Table.read(path)
    assert list(table["kind"]) == ["jump", "bad_column"]
    assert json.loads(table["where"][1]) == {"ccd": 11, "x1_pix": 3}
    assert table["size"].unit == "mag" and table["size"][0] == pytest.approx(0.01)
    assert np.isnan(table["size"][1]) and list(table["significance"]) == [8.0, 5.5]


def test_no_anomaly_is_an_empty_table(tmp_path):
    write_anomalies(tmp_path / "anomalies.ecsv", ())
    table = Table.read(tmp_path / "anomalies.ecsv")
    assert len(table) == 0 and table.colnames[0] == "kind"
