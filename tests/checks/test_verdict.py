from __future__ import annotations

import json

import numpy as np

from scrframe.checks.verdict import Anomaly, NullTestResult


def test_check_as_json_holds_plain_data():
    detail = {"error": np.float32(0.5), "curve": np.array([1.0, np.nan]), "n": np.int64(3)}
    check = NullTestResult("a", "A", float("nan"), 0.01, "mag", "not testable", "no column", detail)
    read = json.loads(json.dumps(check.to_json(), allow_nan=False))
    assert read["value"] is None and read["limit"] == 0.01
    assert read["verdict"] == "not testable" and read["reason"] == "no column"
    assert read["detail"] == {"error": 0.5, "curve": [1.0, None], "n": 3}


def test_anomaly_as_json_holds_plain_data():
    anomaly = Anomaly("jump", {"ccd": np.int16(7)}, np.float64(0.02), np.inf, "CCD 7 jumps")
    read = json.loads(json.dumps(anomaly.to_json(), allow_nan=False))
    assert read["where"] == {"ccd": 7}
    assert read["size_mag"] == 0.02 and read["significance"] is None
