"""Sequential offsets: injected offsets are recovered at the error of a mean."""

import numpy as np
import pyarrow as pa
import pytest

from scrframe.builtin.offset_levels.keys import GroupConfig, prepare_group
from scrframe.builtin.offset_levels.maps import BinConfig, prepare_bin
from scrframe.errors import CalibrationError
from scrframe.offsets.apply import apply_solution
from scrframe.offsets.sequential import OffsetProblem, solve_sequential
from scrframe.tables import (
    FLAG_BITS,
    Detections,
    FittedLevel,
    LevelDesign,
    MatchedStars,
    ReddeningLaw,
    Solution,
    SolvedLevel,
)

SIZE = (512, 512)


def survey(seed=1, n=20_000, visits=10, ccds=4, noise=0.05):
    """Return detections with an injected visit, CCD and pixel term, in gauge, and delta."""
    rng = np.random.default_rng(seed)
    visit, ccd = rng.integers(0, visits, n), rng.integers(1, ccds + 1, n)
    x, y = rng.uniform(0.5, SIZE[0] + 0.5, n), rng.uniform(0.5, SIZE[1] + 0.5, n)
    table = Detections.from_columns(
        {
            "visit": [f"v{code:02d}" for code in visit],
            "band": ["u"] * n,
            "ccd": ccd,
            "file": [f"v{code:02d}.fits" for code in visit],
            "extension": ccd,
            "row": np.arange(n),
            "ra": np.zeros(n),
            "dec": np.zeros(n),
            "mjd": np.zeros(n),
            "x": x,
            "y": y,
            "mag": rng.uniform(14, 20, n),
            "mag_err": np.full(n, 0.01),
        }
    )
    terms = {
        "visit": rng.normal(0, 0.06, visits)[visit],
        "ccd": rng.normal(0, 0.02, (visits, ccds))[visit, ccd - 1],
        "pixel": rng.normal(0, 0.01, (ccds, 4))[ccd - 1, (x > 256.5) + 2 * (y > 256.5)],
    }
    return table, terms, rng.normal(0, noise, n)


def matched(table):
    zero = np.zeros(len(table), dtype=np.int64)
    return MatchedStars(table, table, zero, np.zeros((1, 1), np.float32), zero == 1)


def levels(table):
    sample = matched(table)
    return (
        prepare_group("visit", sample, GroupConfig(by=("visit",))),
        prepare_group("ccd", sample, GroupConfig(by=("visit", "ccd"))),
        prepare_bin("pixel", sample, BinConfig(by=("ccd",), size="256 pix")),
    )


def solve(table, delta, min_stars=20):
    fitted = levels(table)
    solved = solve_sequential(OffsetProblem(fitted, table, delta, min_stars))
    return fitted, solved


def test_without_noise_the_sum_of_the_levels_is_exact():
    # Balanced: every bin of every CCD has one detection in every visit.
    table, _, _ = survey(n=16)
    visit, ccd, place = np.meshgrid(np.arange(5), np.arange(1, 4), np.arange(4), indexing="ij")
    n = visit.size
    table = table.take(np.zeros(n, dtype=np.int64)).with_columns(
        {
            "visit": [f"v{code}" for code in visit.ravel()],
            "ccd": ccd.ravel(),
            "x": np.where(place.ravel() % 2, 400.0, 100.0),
            "y": np.where(place.ravel() // 2, 400.0, 100.0),
        }
    )
    rng = np.random.default_rng(2)
    delta = (
        0.3
        + rng.normal(size=5)[visit]
        + rng.normal(size=(5, 3))[visit, ccd - 1]
        + rng.normal(size=(3, 4))[ccd - 1, place]
    ).ravel()
    _, solved = solve(table, delta, min_stars=1)
    np.testing.assert_allclose(solved.total_mag, delta - delta.mean(), atol=1e-12)


def test_gauge_terms_sum_to_zero_within_their_parent():
    table, terms, noise = survey()
    delta = sum(terms.values()) + noise + 0.1
    fitted, solved = solve(table, delta)
    visit, ccd, pixel = (level.design(table).partition() for level in fitted)
    parts = [t.offset_mag[c] for t, c in zip(solved.tables, (visit, ccd, pixel), strict=True)]
    assert parts[0].sum() == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(np.bincount(visit, weights=parts[1]), 0, atol=1e-9)
    np.testing.assert_allclose(np.bincount(table["ccd"], weights=parts[2]), 0, atol=1e-9)


def test_offsets_reach_the_error_of_a_mean():
    table, terms, noise = survey(n=60_000)
    fitted, solved = solve(table, sum(terms.values()) + noise)
    visit = fitted[0].design(table).partition()
    injected = np.bincount(visit, weights=sum(terms.values())) / np.bincount(visit)
    error = solved.tables[0].offset_mag - (
        injected - np.average(injected, weights=np.bincount(visit))
    )
    expected = 0.05 / np.sqrt(60_000 / 10)
    # The rms of 10 errors is uncertain by 1 / sqrt(20); four of these.
    assert np.sqrt(np.mean(error**2)) < expected * (1 + 4 / np.sqrt(20))


def test_a_small_group_has_no_offset_and_its_detections_a_flag():
    table, terms, noise = survey(n=2_000)
    lonely = np.flatnonzero(table["ccd"] == 4)[:3]
    drop = np.setdiff1d(np.flatnonzero(table["ccd"] == 4), lonely)
    keep = np.setdiff1d(np.arange(len(table)), drop)
    table, delta = table.take(keep), (sum(terms.values()) + noise)[keep]
    fitted, solved = solve(table, delta)
    solved_levels = tuple(
        SolvedLevel(level, "x", offsets)
        for level, offsets in zip(fitted, solved.tables, strict=True)
    )
    law = ReddeningLaw(np.zeros(1), np.zeros((1, 1)), 0.0)
    visits = tuple(sorted(set(table["visit"])))
    corrections = apply_solution(Solution(solved_levels, 0.25, law, visits, {}), table)
    few = table["ccd"] == 4
    assert few.sum() == 3
    assert np.isnan(corrections.total_mag[few]).all()
    assert np.all(corrections.flags[few] & FLAG_BITS["few_stars_ccd"])
    assert np.isfinite(corrections.by_level["visit"]).all()
    np.testing.assert_allclose(corrections.total_mag[~few], (solved.total_mag + 0.25)[~few])
    assert not corrections.flags[~few].any()


def test_an_unknown_visit_and_a_missing_magnitude_are_flagged():
    table, terms, noise = survey(n=4_000)
    fitted, solved = solve(table, sum(terms.values()) + noise)
    solved_levels = tuple(
        SolvedLevel(level, "x", offsets)
        for level, offsets in zip(fitted, solved.tables, strict=True)
    )
    law = ReddeningLaw(np.zeros(1), np.zeros((1, 1)), 0.0)
    solution = Solution(solved_levels, 0.0, law, tuple(f"v{n:02d}" for n in range(10)), {})
    strange = table.take(np.array([0, 1])).with_columns(
        {"visit": ["elsewhere", "v03"], "mag": [15.0, np.nan]}
    )
    corrections = apply_solution(solution, strange)
    assert corrections.flags[0] & FLAG_BITS["unknown_visit"]
    assert corrections.flags[1] == FLAG_BITS["no_magnitude"]
    assert np.isnan(corrections.total_mag[0])
    assert np.isfinite(corrections.total_mag[1])


class Slope(FittedLevel):
    """A slope in x: no partition."""

    name = "slope"

    def labels(self):
        return pa.table({"term": [0]})

    def design(self, detections):
        from scipy import sparse

        return LevelDesign(sparse.csr_array(detections["x"][:, None]))

    def state(self):
        return {}


@pytest.mark.parametrize("role", ["correction", "nuisance"])
def test_sequential_mode_refuses_what_is_no_group_or_bin(role):
    table, _, noise = survey(n=100)
    level = Slope()
    level.role = role
    with pytest.raises(CalibrationError, match=r"offsets\.levels\.slope"):
        solve_sequential(OffsetProblem((level,), table, noise, 20))
