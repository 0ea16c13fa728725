"""Cuts against plain numpy, row by row where it matters."""

import pickle
import time

import numpy as np
import pyarrow as pa
import pytest

from scrframe.errors import ConfigError
from scrframe.tables.columns import Column
from scrframe.tables.cuts import Cut
from scrframe.tables.table import ColumnTable

NAN = float("nan")


def passes(text, **columns):
    return Cut.parse(text).evaluate(ColumnTable.from_columns(columns)).tolist()


@pytest.mark.parametrize(
    "text",
    [
        "mag > 12",
        "12 < mag < 21.5",
        "mag <= 14 or mag >= 20",
        "not mag > 14",
        "abs(mag - 15) < 2 * mag_err + 1",
        "mag_err < 0.01 + 0.02 * (mag - 12) ** 2 / 10",
        "-mag > -14",
        "mag == 14 and mag != 15 or mag_err < 1e-3",
        "2 ** -mag < 1e-4",
    ],
)
def test_agrees_with_python(text):
    rng = np.random.default_rng(1)
    mag = np.concatenate([rng.uniform(10, 22, 500), [12, 14, 15, 20, 21.5]])
    mag_err = rng.uniform(0, 0.2, len(mag))
    expected = [
        bool(eval(text, {}, {"mag": m, "mag_err": e, "abs": abs}))
        for m, e in zip(mag.tolist(), mag_err.tolist(), strict=True)
    ]
    assert 0 < sum(expected) < len(expected)
    assert passes(text, mag=mag, mag_err=mag_err) == expected


@pytest.mark.parametrize(
    "text",
    [
        "mag > 12",
        "not mag > 12",
        "not (mag > 12 and mag_err < 1)",
        "mag_err < 1 or mag > 12",
        "mag != 3",
        "mag ** 0 == 1",
        "1 ** mag == 1",
        "mag - mag == 0 or mag_err < 1",
        "not abs(mag) * 0 != 0",
        "mag_err < 1 or (mag_err < 2 or not mag < 3)",
    ],
)
def test_a_nan_anywhere_fails(text):
    assert passes(text, mag=[13.0, NAN], mag_err=[0.5, 0.5])[1] is False


def test_a_null_anywhere_fails():
    flags = pa.array([3, None, 0], pa.int16())
    assert passes("quality_flags < 8", quality_flags=flags) == [True, False, True]
    assert passes("not quality_flags > 8", quality_flags=flags) == [True, False, True]
    both = {"quality_flags": flags, "mag": [1.0, 1.0, 1.0]}
    assert passes("mag == 1 or quality_flags < 8", **both) == [True, False, True]
    assert passes("good", good=pa.array([True, None, False])) == [True, False, False]
    assert passes("not good", good=pa.array([True, None, False])) == [False, False, True]
    visits = pa.array(["a", None, "b"]).dictionary_encode()
    assert passes('visit != "a"', visit=visits) == [False, False, True]
    assert passes('not visit == "a"', visit=visits) == [False, False, True]


@pytest.mark.parametrize(
    "text",
    ["not mag / mag_err > 1", "mag ** 0.5 >= 0 or mag_err == 0", "(mag / mag_err) ** 0 == 1"],
)
def test_a_nan_that_arises_inside_fails(text):
    # 0 / 0, and the square root of a negative number (where mag_err is 0 the `or` holds).
    assert passes(text, mag=[-1.0 if "0.5" in text else 0.0], mag_err=[0.0]) == [False]


def test_division_by_zero_is_infinite_and_no_error():
    assert passes("mag / mag_err > 1e300", mag=[1.0, -1.0, 0.0], mag_err=[0.0] * 3) == [
        True,
        False,
        False,
    ]
    assert passes("1 / quality_flags > 2", quality_flags=[0, 1]) == [True, False]


def test_integers_divide_and_multiply_as_real_numbers():
    assert passes("quality_flags / 2 == 1.5", quality_flags=[3, 2]) == [True, False]
    assert passes("ccd * ccd > 3e4", ccd=np.array([200, 100], np.int16)) == [True, False]
    assert passes("-ccd < 0", ccd=np.array([-32768, 5], np.int16)) == [False, True]
    assert passes("source_id * 4 > 0", source_id=[2**62, -(2**62)]) == [True, False]
    own = pa.array([2**64 - 1, 1], pa.uint64())
    assert passes("own > 1e19", own=own) == [True, False]


def test_identifiers_compare_exactly():
    source_id = np.array([5853498713190525696, 5853498713190525697])
    assert passes("source_id == 5853498713190525697", source_id=source_id) == [False, True]
    assert passes("source_id > 5853498713190525696", source_id=source_id) == [False, True]


def test_labels_compare_with_text():
    columns = {"visit": ["a", "b", "a"], "field": ["a", "x", "y"]}
    assert passes('visit == "a"', **columns) == [True, False, True]
    assert passes("visit != 'a' or field == 'y'", **columns) == [False, True, True]
    assert passes("visit == field", **columns) == [True, False, False]


def test_an_empty_table_gives_an_empty_mask():
    assert passes("mag > 12", mag=np.zeros(0)) == []


def test_chunks_and_order_are_kept():
    parts = [ColumnTable.from_columns({"mag": np.arange(k, k + 100_000.0)}) for k in (0, 5, 7)]
    table = ColumnTable(pa.concat_tables([part.arrow for part in parts]))
    expected = np.concatenate([part["mag"] % 2 == 0 for part in parts])
    even = Cut.parse("((mag / 2) + 2 ** 52) - 2 ** 52 == mag / 2").evaluate(table)
    assert np.array_equal(even, expected)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("mag >", "not an expression"),
        ("mag = 3", "not an expression"),
        ("mag\x00 > 3", "not an expression"),
        ("1 < 2", "names no column"),
        ("mag + 1", "neither a comparison"),
        ("12", "neither a comparison"),
        ("(mag > 3) + 1 > 2", "is not a number"),
        ("-(mag > 3) > 2", "is not a number"),
        ("mag @ 3 > 2", "arithmetic is"),
        ("mag > True", "is not a number"),
        ("mag > None", "is not a number"),
        ("mag > 3j", "is not a number"),
        ("mag % 2 == 0", "arithmetic is"),
        ("mag // 2 == 0", "arithmetic is"),
        ("mag & 2 == 0", "arithmetic is"),
        ("~mag > 0", "arithmetic is"),
        ("mag in (1, 2)", "of comparisons only"),
        ("mag is 3", "of comparisons only"),
        ("mag < 'a'", "== and !="),
        ("mag + 'a' == 3", "is not a number"),
        ("abs(mag, 3) > 1", "arithmetic is"),
        ("abs(*mag) > 1", "is not a number"),
        ("abs > 1", "is a function"),
        ("mag >\n", "not an expression"),
        ("sqrt(mag) > 1", "arithmetic is"),
        ("mag.real > 1", "is not a number"),
        ("mag[0] > 1", "is not a number"),
        ("__import__('os').system('true') == 0", "arithmetic is"),
        ("(lambda: 1)() > mag", "arithmetic is"),
        ("(mag := 3) > 2", "is not a number"),
        ("mag if mag > 3 else mag_err", "neither a comparison"),
        ("[m for m in mag]", "neither a comparison"),
        ("f'{mag}' == visit", "is not a number"),
        ("b'a' == visit", "is not a number"),
        ("mag > 1" + "0" * 400, "too large"),
        ("(" * 300 + "mag" + ")" * 300 + " > 1", "not an expression"),
        ("-" * 2000 + "mag > 1", "longer than"),
        ("-" * 990 + "mag > 1", "nested too deeply"),
    ],
)
def test_what_is_not_in_the_language_is_refused(text, says):
    with pytest.raises(ConfigError, match="cut ") as caught:
        Cut.parse(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_and_stage():
    cut = Cut.parse("phot_bp_rp_excess_factor < 1.3 + 0.06 * bp_rp**2 and abs(bp_rp) > mag")
    assert cut.names == ("phot_bp_rp_excess_factor", "bp_rp", "mag")
    assert cut.stage() == "reference"
    assert Cut.parse("mag > 12").stage() == "detection"
    assert Cut.parse("extinction < 1 or mag > 12").stage() == "extinction"
    assert Cut.parse("xp_snr > 15").stage() == "spectrum"


def test_own_columns_count_with_their_stage():
    own = Column("ruwe", "", "float64", "Own.", "reference")
    assert Cut.parse("ruwe < 1.4 and mag > 3").stage([own]) == "reference"
    with pytest.raises(ConfigError, match='unknown column "ruwe"'):
        Cut.parse("ruwe < 1.4").stage()


def test_unknown_names_are_explained():
    with pytest.raises(ConfigError) as caught:
        Cut.parse("magg > 3").stage()
    assert 'unknown column "magg"; did you mean "mag"?' in str(caught.value)
    assert "gal_b" in str(caught.value)
    with pytest.raises(ConfigError, match='did you mean "mag"'):
        passes("Mag > 3", mag=[1.0])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("visit > 3", "== and !="),
        ("visit == 3", "is not a label"),
        ("visit", "is a label"),
        ("mag", 'column "mag" is a number'),
        ("mag == 'a'", 'column "mag" is a number'),
        ("good == 1", "is true or false"),
    ],
)
def test_columns_are_used_as_what_they_are(text, says):
    own = Column("good", "", "bool", "Own.", "detection")
    with pytest.raises(ConfigError) as caught:
        Cut.parse(text).stage([own])
    assert says in str(caught.value)


def test_cuts_are_values():
    cut = Cut.parse("  mag > 12 ")
    assert cut == Cut("mag > 12")
    assert len({cut, Cut("mag > 12"), Cut("mag > 13")}) == 2
    copy = pickle.loads(pickle.dumps(cut))
    assert copy == cut
    assert copy.names == ("mag",)


def test_a_million_rows_take_well_under_a_second():
    rng = np.random.default_rng(1)
    names = ("mag", "mag_err", "phot_bp_rp_excess_factor", "bp_rp", "extinction_err")
    table = ColumnTable.from_columns(
        {name: rng.uniform(0, 20, 1_000_000) for name in names}
        | {"classification": rng.integers(-3, 2, 1_000_000).astype(np.int16)}
    )
    cuts = [
        "classification == -1",
        "12 < mag < 21.5",
        "mag_err < 0.08",
        "phot_bp_rp_excess_factor < 1.3 + 0.06 * bp_rp**2",
        "extinction_err < 0.02",
    ]
    start = time.perf_counter()
    for text in cuts:
        Cut.parse(text).evaluate(table)
    # Measured: 0.1 s on an idle core; the limit leaves room for a busy machine.
    assert time.perf_counter() - start < 1.0
