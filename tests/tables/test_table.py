"""Missing values: refused where a row cannot do without them, readable elsewhere."""

import numpy as np
import pytest

from scrframe.errors import DataError
from scrframe.tables import ColumnTable, Detections
from scrframe.tables.table import plausible


def detections(rows, **changes):
    labels = np.array(["a"] * rows, dtype=object)
    numbers = dict.fromkeys(("ra", "dec", "mjd", "x", "y", "mag", "mag_err"), np.ones(rows))
    whole = dict.fromkeys(("ccd", "extension", "row"), np.ones(rows, dtype=int))
    names = dict.fromkeys(("visit", "band", "file"), labels)
    return Detections.from_columns({**names, **whole, **numbers, **changes})


def test_a_missing_visit_is_refused():
    with pytest.raises(DataError, match=r"column 'visit' lacks a value in 1 row"):
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


def test_what_cannot_be_meant_is_no_value():
    table = ColumnTable.from_columns(
        {
            "mag_err": [0.1, 0.0, -1.0, 99.0],
            "extinction": [-0.05, -1.0, -99.0, np.inf],
            "extinction_err": [0.1, -1.0, 0.0, np.nan],
            "other": [-99.0] * 4,
        }
    )
    found = plausible(table, "here")
    for name in ("mag_err", "extinction", "extinction_err"):
        assert found[name][0] == table[name][0]
        assert np.isnan(found[name][1:]).all()
    assert (found["other"] == -99).all()
    with pytest.raises(DataError, match=r"here: mjd is 2456000\.5, .*: unit: jd"):
        plausible(ColumnTable.from_columns({"mjd": [56000.0, 2456000.5]}), "here")


@pytest.mark.parametrize(
    ("name", "typical", "unit", "says"),
    [
        ("mag_err", 0.05, 1000.0, "unit mmag"),
        ("airmass", 1.2, 40.0, "zenith distance"),
        ("exposure_time", 150.0, 1000.0, "unit ms"),
        ("seeing", 0.8, 1000.0, "unit mas"),
    ],
)
def test_columns_in_another_unit_are_told(name, typical, unit, says):
    values = typical * np.linspace(1.0, 2.0, 20)
    here = ColumnTable.from_columns({name: values})
    np.testing.assert_array_equal(plausible(here, "here")[name], values)
    other = ColumnTable.from_columns({name: values * unit})
    with pytest.raises(DataError, match=f"^here: {name} is .* in 20 of 20 rows.*{says}"):
        plausible(other, "here")
    # A single number stands for none.
    none = plausible(ColumnTable.from_columns({name: np.full(20, 999999.0)}), "here")
    assert np.isnan(none[name]).all()


def test_errors_in_mmag_are_told_though_few_are_beyond_the_range():
    """Half of all detections cannot have a signal below half its noise."""
    good = 10 ** np.linspace(-2, 1, 41)  # mag; faint ones are worth nothing
    assert np.isnan(plausible(ColumnTable.from_columns({"mag_err": good}), "here")["mag_err"][-1])
    with pytest.raises(DataError, match=r"mag_err .* unit mmag"):
        plausible(ColumnTable.from_columns({"mag_err": np.linspace(1.5, 11, 40)}), "here")
