"""Explanations: identities between their figures, and against plain ways to work them out."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

import scrframe
from scrframe.analysis.explain import explain
from scrframe.analysis.explain.ccd import MapColumn, strips
from scrframe.analysis.explain.local_solution import Around, Movable, at_rest, moved_without
from scrframe.analysis.explain.opened_run import KEY, OPTIONAL, Explanation, mean_and_error
from scrframe.analysis.explain.other_visits import _split_weights
from scrframe.errors import ConfigError, DataError
from scrframe.tables import FLAG_BITS


@pytest.fixture(scope="module")
def columns(tiny_run):
    table = pq.read_table(tiny_run.path / "stars.parquet")
    return {name: np.asarray(table.column(name).to_pylist()) for name in table.column_names}


@pytest.fixture(scope="module")
def visit(columns):
    return str(columns["visit"][0])


@pytest.fixture(scope="module")
def explanation(tiny_run, visit):
    return explain(tiny_run.path, visit=visit)


@pytest.fixture(scope="module")
def paper_run(tiny_survey, tmp_path_factory):
    """Return a run of the tiny survey in mode sequential."""
    changes = (
        *tiny_survey.changes,
        "offsets.mode=sequential",
        "reddening.order=2",
        "reddening.extinction_order=0",
        "reddening.field_slopes=false",
        "colour_model.kind=ridge",
    )
    survey = scrframe.load_survey(tiny_survey.description, overrides=changes)
    out = tmp_path_factory.mktemp("explained") / "run"
    return scrframe.calibrate(survey, data=tiny_survey.data, out=out, workers=1)


class TestWithout:
    """A step to the solution without some detections, against two solutions by dense matrices."""

    rng = np.random.default_rng(5)
    n, stars, width = 60, 17, 7
    star = rng.integers(0, stars, n)
    design = rng.normal(size=(n, width)) * (rng.uniform(size=(n, width)) < 0.5)
    noise = rng.uniform(0.01, 0.02, n)
    star_sd = rng.uniform(0.04, 0.08, stars)
    root = rng.normal(size=(width, width))
    prior = root @ root.T + 50 * np.eye(width)
    delta = rng.normal(size=n)

    def solution(self, kept):
        """Generalised least squares with the covariance of the detections written out."""
        same = self.star[kept][:, None] == self.star[kept]
        spread = self.star_sd[self.star[kept]] ** 2
        covariance = np.diag(self.noise[kept] ** 2) + same * spread[:, None]
        inverse = np.linalg.inv(covariance)
        z = self.design[kept]
        return np.linalg.solve(z.T @ inverse @ z + self.prior, z.T @ inverse @ self.delta[kept])

    def around(self, residual):
        return Around(
            table=None,
            star=self.star,
            precision=self.noise**-2.0,
            star_precision=self.star_sd**-2.0,
            residual_mag=residual,
        )

    def test_it_is_exact(self):
        everything = np.ones(self.n, dtype=bool)
        removed = np.arange(self.n) < 15
        before, after = self.solution(everything), self.solution(~removed)
        columns = Movable(
            sparse.csr_array(self.design),
            sparse.csr_array(self.prior),
            np.ones(self.width, dtype=bool),
            ("any",),
        )
        moved = moved_without(self.around(self.delta - self.design @ before), columns, removed)
        assert np.abs(after - before).max() > 1e-3
        np.testing.assert_allclose(moved, self.design @ (after - before), atol=1e-9)

    def test_nothing_moves_if_nothing_is_taken(self):
        before = self.solution(np.ones(self.n, dtype=bool))
        columns = Movable(
            sparse.csr_array(self.design),
            sparse.csr_array(self.prior),
            np.ones(self.width, dtype=bool),
            ("any",),
        )
        moved = moved_without(
            self.around(self.delta - self.design @ before), columns, np.zeros(self.n, dtype=bool)
        )
        np.testing.assert_allclose(moved, 0, atol=1e-12)

    def test_groups_come_to_rest(self):
        group = np.arange(self.n) % 4 - 1
        target = np.array([3.0, -7.0, 11.0])
        rested = at_rest(self.around(self.delta), group, target)
        same = self.star[:, None] == self.star
        covariance = np.diag(self.noise**2) + same * (self.star_sd[self.star] ** 2)[:, None]
        pull = np.linalg.solve(covariance, rested.residual_mag)
        np.testing.assert_allclose([pull[group == g].sum() for g in range(3)], target, atol=1e-6)

    def test_weights_of_stars_and_detections_are_told_apart(self):
        usual, inverse = 300.0, np.full(6, 5000.0)
        star = np.array([0, 0, 1, 1, 2, 2])
        of_star, of_detection = np.array([1.0, 0.03, 1.0]), np.array([1, 1, 1, 1, 0.2, 1.0])
        weight = of_star[star] * of_detection
        whole = np.bincount(star, of_detection * inverse) + of_star * usual
        precision, own = _split_weights(star, weight, inverse, whole)
        np.testing.assert_allclose(precision, of_detection * inverse, rtol=1e-6)
        np.testing.assert_allclose(own, of_star * usual, rtol=1e-4)


class TestVisit:
    def test_detections_are_those_of_the_table(self, explanation, columns, visit):
        mine = columns["visit"] == visit
        found = explanation.detections
        assert found.in_sample == mine.sum()
        assert found.used == (mine & columns["in_solve"]).sum()
        assert found.left_out["reserved"] == (mine & columns["reserved"]).sum()
        assert found.used + sum(found.left_out.values()) == found.in_sample

    def test_parts_of_ccds_sum_to_the_whole(self, explanation):
        assert len(explanation.ccds) == 32
        for each in explanation.ccds:
            parts = sum(each.parts_mag.values()) + each.jitter_mag
            assert parts == pytest.approx(each.ccd_mag, abs=1e-12)

    def test_offsets_are_those_of_the_detections(self, explanation, columns, visit):
        mine = columns["visit"] == visit
        offset = explanation.offset
        assert np.allclose(columns["offset_visit"][mine], offset.visit_mag)
        by_ccd = {each.ccd: each.ccd_mag for each in explanation.ccds}
        np.testing.assert_allclose(
            columns["offset_ccd"][mine], [by_ccd[ccd] for ccd in columns["ccd"][mine]], atol=1e-12
        )

    def test_levels_that_correct_sum_to_the_correction(self, explanation, columns, visit):
        mine = columns["visit"] == visit
        mean = {each.level: each.mean_mag for each in explanation.levels}
        total = mean["visit"] + mean["ccd"] + mean["map"] + explanation.offset.zero_point_mag
        assert total == pytest.approx(columns["offset_total"][mine].mean(), abs=1e-9)

    def test_neighbours_are_found_star_by_star(self, explanation, columns, visit):
        mine = {
            source: cal
            for source, cal, v in zip(
                columns["source_id"], columns["mag_cal"], columns["visit"], strict=True
            )
            if v == visit
        }
        for each in explanation.neighbours:
            other = columns["visit"] == each.visit
            shared = [s for s in columns["source_id"][other] if s in mine]
            assert each.shared == len(shared)
            plainly = np.array(
                [
                    mine[s] - c
                    for s, c in zip(
                        columns["source_id"][other], columns["mag_cal"][other], strict=True
                    )
                    if s in mine
                ]
            )
            # Weighted and plain mean of one sample lie within the scatter of the plain one.
            error = plainly.std() / np.sqrt(len(plainly))
            assert abs(each.difference_mag - np.median(plainly)) < 5 * error
        assert len(explanation.neighbours) >= 1

    def test_an_exposure_has_the_offset_of_the_table(self, tiny_run, columns, visit):
        found = explain(tiny_run.path, visit=visit, ccd=5)
        mine = (columns["visit"] == visit) & (columns["ccd"] == 5)
        assert found.detections.in_sample == mine.sum()
        whole = columns["offset_visit"][mine] + columns["offset_ccd"][mine]
        assert found.shrinkage.fitted_mag == pytest.approx(whole[0], abs=1e-12)

    def test_a_visit_without_stars_has_the_fallback(self, explanation):
        fallback = explanation.without.fallback
        assert fallback.level in ("field", "season", "survey")
        assert fallback.err_mag > explanation.offset.visit_err_mag


class TestStar:
    def test_offsets_sum_and_the_model_is_that_of_the_table(self, tiny_run, columns):
        source = int(columns["source_id"][columns["in_solve"]][0])
        found = explain(tiny_run.path, star=source)
        rows = np.flatnonzero(columns["source_id"] == source)
        assert len(found.detections) == len(rows)
        zero = tiny_run.summary["offsets"]["u_ZP_mag"]
        for each in found.detections:
            total = sum(each.offsets_mag.values()) + zero
            assert each.total_mag == pytest.approx(total, abs=1e-9)
            assert each.calibrated_mag == pytest.approx(each.observed_mag + total, abs=1e-9)
        model = found.model
        said = model.reference_mag + model.colour0_mag + model.ratio * model.extinction_mag
        assert said == pytest.approx(columns["mag_model"][rows[0]], abs=1e-6)

    def test_what_flags_say_is_in_words(self, tiny_run, columns, tmp_path):
        run = tmp_path / "run"
        ignored = shutil.ignore_patterns("catalogues", "stars.parquet")
        shutil.copytree(tiny_run.path, run, ignore=ignored, copy_function=os.link)
        # Whether a star is far from the training set is left to chance in a small run.
        bit = FLAG_BITS["outside_spectrum"]
        source = int(columns["source_id"][columns["flags"] & bit == 0][0])
        flags = columns["flags"] | np.where(columns["source_id"] == source, bit, 0)
        stars = pq.read_table(tiny_run.path / "stars.parquet")
        place = stars.column_names.index("flags")
        field = stars.schema.field("flags")
        changed = pa.array(flags, type=field.type)
        pq.write_table(stars.set_column(place, field, changed), run / "stars.parquet")
        found = explain(run, star=source)
        assert "far from the training set" in found.flags["outside_spectrum"]
        assert "outside_spectrum" not in explain(tiny_run.path, star=source).flags


class TestCcd:
    def test_its_visits_have_the_offsets_of_the_table(self, tiny_run, columns):
        found = explain(tiny_run.path, ccd=5)
        for each in found.visits:
            mine = (columns["visit"] == each.visit) & (columns["ccd"] == 5)
            assert np.allclose(columns["offset_ccd"][mine], each.ccd_mag)
            parts = sum(each.parts_mag.values()) + each.rest_mag
            assert parts == pytest.approx(each.ccd_mag, abs=1e-12)
        dates = [each.mjd for each in found.visits]
        assert dates == sorted(dates)

    def test_a_dead_strip_is_found_and_noise_is_not(self):
        rng = np.random.default_rng(2)
        n = 4000
        x, y = rng.uniform(0.5, 2048.5, n), rng.uniform(0.5, 4100.5, n)
        residual = rng.normal(0, 0.06, n)
        stars = {"x_pix": x, "y_pix": y}

        class Run:
            class data:  # noqa: N801
                has = staticmethod(lambda name: name in stars)
                star = staticmethod(stars.__getitem__)

        Run.data.residual = residual
        assert strips(Run, np.arange(n)) == ()
        Run.data.residual = residual + 0.12 * ((x > 992.5) & (x < 1024.5))
        (found,) = strips(Run, np.arange(n))
        assert (found.along, found.low_pix, found.high_pix) == ("columns", 992.5, 1024.5)
        assert abs(found.residual_mag - 0.12) < 3 * found.err_mag


class TestSequential:
    def test_without_a_visit_bins_are_means_of_the_others(self, paper_run):
        table = pq.read_table(paper_run.path / "stars.parquet")
        columns = {name: np.asarray(table.column(name).to_pylist()) for name in table.column_names}
        visit = str(columns["visit"][0])
        found = explain(paper_run.path, visit=visit)
        assert found.mode == "sequential"
        without = found.without
        assert without.fallback is None and without.moved == ()
        (pixel,) = without.maps
        # Bins of 1025 pixels: what du3 averages is delta less the levels before it.
        before = columns["delta"] - columns["offset_visit"] - columns["offset_ccd"]
        x_bin = np.floor((columns["x_pix"] - 0.5) / 1025).astype(int)
        y_bin = np.floor((columns["y_pix"] - 0.5) / 1025).astype(int)
        cell = (columns["ccd"] * 10 + np.minimum(x_bin, 1)) * 10 + np.minimum(y_bin, 3)
        other = columns["visit"] != visit
        moves = []
        for each in np.unique(cell[~other]):
            there = (cell == each) & np.isfinite(before)
            if (there & other).any():
                moves.append(before[there & other].mean() - before[there].mean())
        assert pixel.columns == len(moves)
        assert pixel.rms_mag == pytest.approx(np.sqrt(np.mean(np.square(moves))), rel=1e-6)
        assert pixel.largest_mag == pytest.approx(np.abs(moves).max(), rel=1e-6)

    def test_ccds_and_stars_are_explained_too(self, paper_run):
        assert explain(paper_run.path, ccd=5).summary.visits >= 3
        stars = pq.read_table(paper_run.path / "star_catalogue.parquet")
        source = stars.column("source_id")[0].as_py()
        assert explain(paper_run.path, star=source).detections


def test_nothing_and_too_much_are_refused(tiny_run):
    with pytest.raises(ConfigError, match="nothing to explain"):
        explain(tiny_run.path)
    with pytest.raises(ConfigError, match="by itself"):
        explain(tiny_run.path, star=1, visit="any")
    with pytest.raises(DataError, match="knows no visit none; among those that it has: "):
        explain(tiny_run.path, visit="none")


def test_means_and_errors():
    rng = np.random.default_rng(1)
    values = rng.normal(2.0, 0.5, 100)
    mean, error = mean_and_error(values)
    assert mean == pytest.approx(values.mean())
    assert error == pytest.approx(values.std(ddof=1) / 10)
    assert np.isnan(mean_and_error(values[:1])[1]) and np.isnan(mean_and_error(values[:0])[0])


@dataclass(frozen=True, kw_only=True)
class Drawn(Explanation):
    """An explanation with a field of each kind."""

    known: int | None = field(default=None, metadata=OPTIONAL)
    unknown: int | None = field(default=None, metadata=OPTIONAL)
    nothing: float | None = None
    ratio: float = field(default=math.nan, metadata={KEY: "R"})
    inner: tuple[MapColumn, ...]
    flags: Mapping[int, np.int64]


def test_json_has_what_the_fields_declare():
    column = MapColumn(position_pix={"x_low_pix": 0.5}, offset_mag=0.1, err_mag=0.2, detections=3)
    head = {"kind": "ccd", "survey": "s", "band": "u", "data_note": "", "mode": "joint"}
    drawn = Drawn(**head, known=1, inner=(column,), flags={3: np.int64(2)})
    assert list(drawn.to_json().items()) == [
        *head.items(),
        ("known", 1),
        ("nothing", None),
        ("R", None),
        ("inner", [{"x_low_pix": 0.5, "offset_mag": 0.1, "err_mag": 0.2, "detections": 3}]),
        ("flags", {"3": 2}),
    ]
