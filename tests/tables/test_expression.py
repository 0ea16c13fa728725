"""Arithmetic on columns against Python's own."""

import pickle

import numpy as np
import pyarrow as pa
import pytest

from scrframe.errors import ConfigError
from scrframe.tables.cuts import Expression
from scrframe.tables.table import ColumnTable

NAN = float("nan")


def value(text, **columns):
    return Expression(text).evaluate(ColumnTable.from_columns(columns))


@pytest.mark.parametrize(
    "text",
    [
        "mag",
        "mag * mag_err",
        "-mag + 2 * (mag_err - 1) / mag",
        "abs(mag - 15) ** 2",
        "ccd * mag",
        "2 ** -mag",
        "+ccd",
        "mag ** 0",
    ],
)
def test_agrees_with_python(text):
    rng = np.random.default_rng(1)
    columns = {
        "mag": rng.uniform(10, 22, 100),
        "mag_err": rng.random(100),
        "ccd": rng.integers(1, 33, 100),
    }
    expected = [
        float(eval(text, {}, {"abs": abs, **dict(zip(columns, map(float, row), strict=True))}))
        for row in zip(*columns.values(), strict=True)
    ]
    found = value(text, **columns)
    assert found.dtype == np.float64
    # A power is the only operation that is not rounded correctly.
    np.testing.assert_allclose(found, expected, rtol=4e-16, atol=0)


@pytest.mark.parametrize("text", ["mag", "mag ** 0", "1 ** mag", "mag * 0", "abs(mag) - 1"])
def test_what_is_missing_stays_missing(text):
    found = value(text, mag=[NAN, 1.0])
    assert np.isnan(found).tolist() == [True, False]
    found = value(text.replace("mag", "ccd"), ccd=pa.array([None, 1], type=pa.int16()))
    assert np.isnan(found).tolist() == [True, False]


def test_names_each_once_in_order():
    assert Expression("b * abs(a) + b / c").names == ("b", "a", "c")


def test_survives_pickling():
    again = pickle.loads(pickle.dumps(Expression("extinction * colour0")))
    assert again == Expression("extinction * colour0")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("mag >", "is not an expression"),
        ("mag > 1", '"mag > 1" is not a number'),
        ("mag and mag", "is not a number"),
        ("1 + 2", "names no column"),
        ("sqrt(mag)", "arithmetic is"),
        ("mag % 2", "arithmetic is"),
        ("'a'", "is not a number"),
        ("abs", r"abs\(\) is a function"),
        ("(" * 300 + "mag" + ")" * 300, "is not an expression"),
        ("mag + " * 300 + "mag", "is longer than"),
    ],
)
def test_what_is_no_arithmetic_is_refused(text, message):
    with pytest.raises(ConfigError, match=f'^expression ".*: .*{message}'):
        Expression(text)


def test_a_column_must_be_there_and_be_a_number():
    table = ColumnTable.from_columns({"mag": [1.0], "visit": ["v"]})
    with pytest.raises(ConfigError, match='unknown column "magg"; did you mean "mag"'):
        Expression("magg * 2").evaluate(table)
    with pytest.raises(ConfigError, match='expression "visit": column "visit" is a label'):
        Expression("visit").evaluate(table)
