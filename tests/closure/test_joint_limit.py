"""On a run's own sample, the joint solution is as good as theory allows, and says how good."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from . import drawn, joint_fit, pulls
from .blup import CORRECTIONS, Errors, Predictor, in_gauge
from .conftest import closure_seeds
from .drawn import Drawn, Sample, Spread
from .truth import rms

LEVELS = ("total", *CORRECTIONS)
SPREAD = Spread(slope=0.02)
#: Largest error over the bound.
RATIO = {"total": 1.05, "visit": 1.05, "ccd": 1.10}
#: Share of the stars that are kept out of the solve to judge it.
RESERVED = 0.1
#: Fields of the simulated survey and detectors that are used: with one seed, to be quick, and
#: otherwise; with outliers a quarter of the camera will do.
FIELDS, CCDS, CCDS_OUTLIERS = (12, 36), (16, 32), 8
#: Fields and detectors of a sample that has many fields, but is quickly solved.
WIDE = 60, 4
#: Whether there is more than one seed.
MORE = len(closure_seeds()) > 1
#: Draws of fewer than this know little of the scatter between draws.
MANY = 5


@dataclass
class Pool:
    """Squares, pulls and standard deviations over all draws."""

    joint: dict[str, list[float]] = field(default_factory=lambda: {n: [] for n in LEVELS})
    bound: dict[str, list[float]] = field(default_factory=lambda: {n: [] for n in LEVELS})
    pulls: dict[str, list[tuple[np.ndarray, np.ndarray]]] = field(
        default_factory=lambda: {n: [] for n in LEVELS}
    )
    stars: list[dict[str, np.ndarray]] = field(default_factory=list)
    shift: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    star_mag: float = 0.0
    sd: list[dict[str, tuple[float, float]]] = field(default_factory=list)

    def ratio(self, level: str) -> tuple[float, float]:
        """Return rms errors of the joint solution and of the bound, in mmag."""
        squares = np.mean(self.joint[level]), np.mean(self.bound[level])
        return float(1000 * np.sqrt(squares[0])), float(1000 * np.sqrt(squares[1]))


@pytest.fixture(scope="module")
def sample(close) -> Sample:
    """Return the calibration sample of a run."""
    run, tree = close(1, f"simulation.fields={FIELDS[MORE]}", *QUICK)
    found = drawn.run_sample(run, tree)
    shutil.rmtree(tree)
    return found.take(np.flatnonzero(found.ccd < CCDS[MORE]))


#: Only the sample is used of the run: its colour model may be a plain one.
QUICK = (
    "offsets.mode=sequential",
    "colour_model.kind=random_forest",
    "colour_model.random_forest.trees=10",
    "reddening.max_rounds=1",
    "simulation.other_sources=0",
)


@dataclass(frozen=True)
class Split:
    """The sample that is solved and the reserved stars, and the bound's predictor."""

    whole: Sample
    solved: np.ndarray
    reserved: np.ndarray
    predictor: Predictor


@pytest.fixture(scope="module")
def wide() -> Sample:
    """Return a sample of many fields on few detectors."""
    whole = drawn.pointings(0, WIDE[0], 2100, seed=1)
    return whole.take(np.flatnonzero(whole.ccd < WIDE[1]))


def split(whole: Sample) -> Split:
    """Reserve a tenth of the stars."""
    kept = np.random.default_rng(20130).uniform(size=whole.stars) >= RESERVED
    rows = kept[whole.star]
    solved = np.flatnonzero(rows)
    predictor = Predictor(whole.take(solved), SPREAD)
    return Split(whole, solved, np.flatnonzero(~rows), predictor)


def pooled(parts: Split) -> Pool:
    """Return the pool of draws from the model."""
    pool = Pool()
    for seed in closure_seeds():
        draw = drawn.draw(parts.whole, SPREAD, seed)
        truth = draw.take(parts.solved)
        answer = joint_fit.solve(parts.predictor.sample, truth, SPREAD)
        found = answer.errors(truth)
        add_errors(pool, found, parts.predictor.errors(truth))
        add_pulls(pool, found, answer, seed)
        add_stars(pool, parts, draw, answer, seed)
        pool.sd.append(answer.sd)
    pool.star_mag = rms(SPREAD.star_mag(parts.predictor.sample))
    return pool


@pytest.fixture(scope="module")
def clean(sample) -> Pool:
    """Return the pool of draws on a run's own sample."""
    return pooled(split(sample))


@pytest.fixture(scope="module")
def stars(request) -> dict[str, np.ndarray]:
    """Return pulls of calibrated magnitudes with properties of the stars.

    With one seed only, a run's own sample has too few fields to be cut into tenths.
    """
    pool = (
        request.getfixturevalue("clean") if MORE else pooled(split(request.getfixturevalue("wide")))
    )
    return {name: np.concatenate([each[name] for each in pool.stars]) for name in pool.stars[0]}


def add_errors(pool: Pool, found: Errors, best: Errors) -> None:
    """Add the mean squares of a draw."""
    for name, kept in ((pool.joint, found), (pool.bound, best)):
        for level in LEVELS:
            values = kept.total if level == "total" else kept.by_group(level)
            name[level].append(float(np.mean(values**2)))


def add_pulls(pool: Pool, found: Errors, answer: joint_fit.Answer, seed: int) -> None:
    """Add the pulls of offsets, one a group, with the field (or the CCD) and the draw."""
    sample = found.sample
    field_of = sample.field[sample.visit]
    for level in LEVELS:
        error = found.total if level == "total" else getattr(found, level)
        unit = sample.ccd if level == "pixel" else field_of
        rows = np.arange(len(sample)) if level == "total" else found.first(level)
        pulled = (error / answer.own.error[level])[rows]
        pool.pulls[level].append((pulled, unit[rows] + 1000 * seed))


def add_stars(pool: Pool, parts: Split, draw: Drawn, answer: joint_fit.Answer, seed: int) -> None:
    """Add the pulls of calibrated magnitudes of stars that were not in the solve."""
    judged, truth = parts.whole.take(parts.reserved), draw.take(parts.reserved)
    offsets, solved = answer.at(judged), draw.take(parts.solved)
    constant = np.mean(answer.own.total - solved.total)
    # delta holds the noise of the observed magnitude with the opposite sign.
    error = offsets.total - truth.total - constant - truth.noise
    stated = np.hypot(offsets.error["total"], answer.noise_mag(judged))
    pool.stars.append(
        {
            "pull": error / stated,
            "unit": judged.field[judged.visit] + 1000 * seed,
            "E": judged.extinction[judged.star],
            "colour": judged.colour0[judged.star],
            "magnitude": judged.mag[judged.star],
        }
    )


@pytest.fixture
def say(capsys, record_property) -> Callable[[str, str, float], None]:
    """Return a function that prints a line and records a figure."""

    def out(line: str, name: str, value: float) -> None:
        record_property(name, float(value))
        with capsys.disabled():
            print(f"\n  {line}, {len(closure_seeds())} seed(s)", end="")

    return out


@pytest.mark.parametrize("level", LEVELS)
def test_errors_reach_the_bound(clean, level, say):
    error, bound = clean.ratio(level)
    say(
        f"joint {level}: rms {error:.2f} mmag, bound {bound:.2f} mmag, ratio {error / bound:.3f}",
        f"ratio_{level}",
        error / bound,
    )
    # Bins have a limit of their own, on a larger sample.
    assert error <= RATIO.get(level, 1.15) * bound


@pytest.mark.parametrize("level", LEVELS)
def test_pulls_of_offsets_are_standard_normal(clean, level, say):
    value, unit = (np.concatenate(part) for part in zip(*clean.pulls[level], strict=True))
    report(pulls.judge(f"pulls of {level}", value, unit), say)


@pytest.mark.parametrize("by", ["", "E", "colour", "magnitude"])
def test_pulls_of_calibrated_magnitudes_are_standard_normal(stars, by, say):
    if by:
        name = f"pulls of magnitudes by {by}"
        figures = pulls.by_tenths(name, stars["pull"], stars["unit"], stars[by])
    else:
        figures = pulls.judge("pulls of magnitudes", stars["pull"], stars["unit"])
    report(figures, say)


def report(figures: list[pulls.Figure], say: Callable[[str, str, float], None]) -> None:
    """Print the figures (of tenths the worst, and those that are off) and judge them."""
    worst = max(figures, key=lambda figure: abs(figure.value - figure.wanted) / figure.allowed)
    for figure in figures if len(figures) <= 3 else [worst]:
        say(str(figure), figure.name, figure.value)
    assert not [str(figure) for figure in figures if not figure.holds]


@pytest.mark.parametrize(
    "name", ["visit", "static", "drift", "jitter", "pixel", "slope", "star", "scale", "floor"]
)
def test_standard_deviations_of_components_are_those_injected(clean, name, say):
    estimates, stated = np.array([draw[name] for draw in clean.sd]).T
    wanted = clean.star_mag if name == "star" else getattr(SPREAD, name)
    number = len(estimates)
    if number >= MANY:
        error = float(np.std(estimates, ddof=1) / np.sqrt(number))
    else:
        error = float(np.sqrt(np.mean(stated**2) / number))
    allowed = max(0.05 * wanted, 3 * error)
    say(
        f"sd of {name}: {estimates.mean():.5f}, injected {wanted:.5f} within {allowed:.5f}"
        f" (SE {error:.5f})",
        f"sd_{name}",
        float(estimates.mean()),
    )
    assert abs(estimates.mean() - wanted) <= allowed


@pytest.fixture(scope="module")
def contaminated(request) -> dict[str, Pool]:
    """Return the pools of draws with outliers, symmetric and one-sided."""
    sample = request.getfixturevalue("sample" if MORE else "wide")
    part = sample.take(np.flatnonzero(sample.ccd < CCDS_OUTLIERS))
    predictor, pools = Predictor(part, SPREAD), {"symmetric": Pool(), "one-sided": Pool()}
    for seed in closure_seeds():
        draw = drawn.draw(part, SPREAD, seed)
        best = predictor.errors(draw)
        # Outliers of either sign shift the level by chance; with both signs that cancels.
        worse = {
            "symmetric": [drawn.contaminate(part, draw, 0.05, seed, sign) for sign in (1, -1)],
            "one-sided": [drawn.blend(part, draw, 0.05, seed)],
        }
        for kind, many in worse.items():
            answers = [joint_fit.solve(part, each, SPREAD) for each in many]
            add_errors(pools[kind], answers[0].errors(draw), best)
            found = np.mean([each.correction_mag for each in answers], axis=0)
            shift = found - predictor.correction(draw.delta)
            pools[kind].shift.append((shift, part.field[part.visit] + 1000 * seed))
    return pools


def test_symmetric_outliers_and_variables_cost_a_fifth_at_most(contaminated, say):
    pool = contaminated["symmetric"]
    for level in LEVELS:
        error, bound = pool.ratio(level)
        say(
            f"5 % outliers, {level}: rms {error:.2f} mmag, bound {bound:.2f} mmag,"
            f" ratio {error / bound:.3f}",
            f"ratio_{level}",
            error / bound,
        )
    error, bound = pool.ratio("total")
    assert error <= 1.20 * bound


@pytest.mark.parametrize(("kind", "limit"), [("symmetric", 0.2), ("one-sided", 3.0)])
def test_outliers_shift_the_level_little(contaminated, kind, limit, say):
    """Against the level of the best predictor on the same draws without outliers."""
    shift, unit = (np.concatenate(part) for part in zip(*contaminated[kind].shift, strict=True))
    mean, error = 1000 * shift.mean(), 1000 * pulls.error_of_mean(shift, unit)
    say(
        f"5 % outliers, {kind}: bias {mean:.3f} mmag (SE {error:.3f}), at most {limit}",
        f"bias_{kind}",
        float(mean),
    )
    assert abs(mean) <= max(limit, 3 * error)


def test_one_sided_outliers_cost_little_more_than_symmetric_ones(contaminated, say):
    error, bound = contaminated["one-sided"].ratio("total")
    say(
        f"5 % outliers, one-sided, total: rms {error:.2f} mmag, bound {bound:.2f} mmag,"
        f" ratio {error / bound:.3f}",
        "ratio_one_sided",
        error / bound,
    )
    assert error <= 1.20 * bound


def test_the_products_have_the_gauge_of_the_method(wide):
    spread = Spread()
    answer = joint_fit.solve(wide, drawn.draw(wide, spread, 1), spread)
    expected = in_gauge(wide, *(answer.terms[level] for level in CORRECTIONS))
    for level in CORRECTIONS:
        found = answer.own.offset[level]
        np.testing.assert_allclose(found, getattr(expected, level), atol=1e-9, err_msg=level)


def test_the_bound_is_below_what_means_reach(wide, say):
    predictor, draw = Predictor(wide, SPREAD), drawn.draw(wide, SPREAD, 1)
    means, best = rms(joint_fit.sequential(wide, draw).total), rms(predictor.errors(draw).total)
    say(f"bound {1000 * best:.2f} mmag, means {1000 * means:.2f} mmag", "share", best / means)
    assert best < means
