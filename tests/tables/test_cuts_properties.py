"""Random cuts against an interpreter in plain Python, and random text against the parser."""

import math
import operator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scrframe.errors import ConfigError
from scrframe.tables.cuts import Cut
from scrframe.tables.table import ColumnTable

NAMES = ("mag", "mag_err", "teff")
ARITHMETIC = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "**": np.power}
COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


class NotANumberError(Exception):
    """A NaN was met."""


def seen(value):
    if math.isnan(value):
        raise NotANumberError
    return value


# Each strategy yields a text and a function of a row, which computes every operand.
leaves = st.one_of(
    st.sampled_from(NAMES).map(lambda name: (name, lambda row: seen(row[name]))),
    st.sampled_from(["0", "1", "2", "0.5", "3"]).map(lambda t: (t, lambda row: np.float64(t))),
)


def grow(inner):
    def binary(one, sign, other):
        function = ARITHMETIC[sign]
        return (
            f"({one[0]} {sign} {other[0]})",
            lambda row: seen(function(one[1](row), other[1](row))),
        )

    return st.one_of(
        st.builds(binary, inner, st.sampled_from(sorted(ARITHMETIC)), inner),
        inner.map(lambda one: (f"(-{one[0]})", lambda row: -one[1](row))),
        inner.map(lambda one: (f"abs({one[0]})", lambda row: abs(one[1](row)))),
    )


numbers = st.recursive(leaves, grow, max_leaves=5)


def compare(one, sign, other):
    function = COMPARE[sign]
    return f"{one[0]} {sign} {other[0]}", lambda row: bool(function(one[1](row), other[1](row)))


def combine(inner):
    def both(one, word, other):
        def judge(row):
            values = one[1](row), other[1](row)
            return all(values) if word == "and" else any(values)

        return f"({one[0]} {word} {other[0]})", judge

    return st.one_of(
        st.builds(both, inner, st.sampled_from(["and", "or"]), inner),
        inner.map(lambda one: (f"not ({one[0]})", lambda row: not one[1](row))),
    )


cuts = st.recursive(
    st.builds(compare, numbers, st.sampled_from(sorted(COMPARE)), numbers), combine, max_leaves=4
).filter(lambda cut: any(name in cut[0] for name in NAMES))
values = st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0, -3.0, 1e300, math.nan, math.inf])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(cuts, st.lists(st.tuples(values, values, values), min_size=1, max_size=8))
def test_random_cuts_do_what_python_does(cut, rows):
    text, judge = cut

    def expected(row):
        try:
            return judge(dict(zip(NAMES, map(np.float64, row), strict=True)))
        except NotANumberError:
            return False

    columns = dict(zip(NAMES, np.array(rows).T, strict=True))
    with np.errstate(all="ignore"):
        wanted = [expected(row) for row in rows]
    assert Cut.parse(text).evaluate(ColumnTable.from_columns(columns)).tolist() == wanted


words = st.sampled_from(
    [*NAMES, *"()[]{}<>=!+-*/%,.:@~'\"\\", "**", "and", "or", "not", "abs", "1e3", "in", " ", "\n"]
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.one_of(st.text(max_size=30), st.lists(words, max_size=12).map(" ".join)))
def test_any_text_is_a_cut_or_refused_in_one_line(text):
    try:
        Cut.parse(text).stage()
    except ConfigError as error:
        assert "\n" not in str(error)
