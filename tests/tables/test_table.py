"""Missing values: refused where a row cannot do without them, readable elsewhere."""

import numpy as np
import pytest

from scrframe.errors import DataError
from scrframe.tables import Detections


def detections(rows, **changes):
    labels = np.array(["a"] * rows, dtype=object)
    numbers = dict.fromkeys(("ra", "dec", "mjd", "x", "y", "mag", "mag_err"), np.ones(rows))
    whole = dict.fromkeys(("ccd", "extension", "row"), np.ones(rows, dtype=int))
    names = dict.fromkeys(("visit", "band", "file"), labels)
    return Detections.from_columns({**names, **whole, **numbers, **changes})


def test_a_missing_visit_is_refused():
    with pytest.raises(DataError, match=r"column 'visit' lacks a value in 1 row\(s\)"):
        detections(2, visit=np.array(["a", None], dtype=object))


def test_a_label_that_only_some_tables_have_reads_as_empty_elsewhere():
    named = detections(2, field=np.array(["x", "y"], dtype=object))
    joined = Detections.concat([detections(1), named])
    assert joined["field"].tolist() == ["", "x", "y"]
    codes, labels = joined.codes("field")
    assert [labels[code] for code in codes] == ["", "x", "y"]


def test_no_rows_are_no_problem():
    empty = detections(0)
    assert len(empty) == 0
    assert empty["visit"].tolist() == []
