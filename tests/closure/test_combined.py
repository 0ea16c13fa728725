"""Two surveys of the same stars, drawn from the model of both: what sharing is worth.

The bound is that of both together, worked out apart from the solver: sparse matrices of the
stars' deviations, and a dense system of all terms.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import linalg, sparse
from scipy.sparse.linalg import splu

from scrframe.offsets.shared.correlation import StarResiduals, common_stars, correlate, one_factor
from scrframe.offsets.shared.layout import Member, SharedTerm
from scrframe.offsets.shared.solve import solve_surveys

from . import blup, drawn, joint_fit
from .conftest import closure_seeds
from .drawn import Drawn, Sample, Spread
from .truth import rms

#: Correlation of the stars' deviations, and detectors that are used, to be quick.
RHO, CCDS = 0.85, 4
#: The second survey knows its detectors better, and departs from the law half as much.
SPREADS = (
    Spread(slope=0.03),
    Spread(visit=0.02, static=0.004, drift=0.003, jitter=0.004, slope=0.015, star=0.05),
)


@dataclass(frozen=True)
class Pair:
    """Two samples of one sky, and the source that each of their stars is."""

    samples: tuple[Sample, Sample]
    sources: tuple[np.ndarray, np.ndarray]

    @classmethod
    def drawn(cls, fields: int) -> Pair:
        """Return what two surveys see of the same sky: nine in ten of the stars each."""
        whole = drawn.pointings(fields // 2, fields - 2 * (fields // 2), 1500, seed=4)
        whole = whole.take(np.flatnonzero(whole.ccd < CCDS))
        chance = np.random.default_rng(5).uniform(size=(2, whole.stars))
        rows = [np.flatnonzero(chance[b][whole.star] < 0.9) for b in range(2)]
        samples = tuple(whole.take(each) for each in rows)
        return cls(samples, tuple(np.unique(whole.star[each]) for each in rows))

    def draws(self, seed: int) -> tuple[Drawn, Drawn]:
        rng = np.random.default_rng([seed, 20140])
        first = self.samples[0]
        common = rng.standard_normal(int(max(each.max() for each in self.sources)) + 1)
        slope = rng.standard_normal(first.fields)
        found = []
        for b, (sample, spread, source) in enumerate(
            zip(self.samples, SPREADS, self.sources, strict=True)
        ):
            own = rng.standard_normal(sample.stars)
            unit = np.sqrt(RHO) * common[source] + np.sqrt(1 - RHO) * own
            by_field = spread.slope * slope[sample.field[sample.visit]]
            found.append(
                replace(
                    drawn.draw(sample, spread, 1000 * seed + b),
                    star=(spread.star_mag(sample) * unit)[sample.star],
                    nuisance=by_field * sample.extinction[sample.star],
                )
            )
        return tuple(found)


class Bound:
    """The best linear unbiased predictor of both, with the true variances."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        parts, priors, widths = [], [], []
        for sample, spread in zip(pair.samples, SPREADS, strict=True):
            design, first = blup._design(sample, spread)
            parts.append((design, first))
            priors.append(blup._precision(sample, spread, first).toarray())
            widths.append(design.shape[1])
        slopes = [slice(*first["slope"]) for _, first in parts]
        ratio = SPREADS[1].slope / SPREADS[0].slope
        # The slopes of the second are those of the first, but for their size.
        place = np.zeros((widths[1], sum(widths)))
        place[np.arange(widths[1]), widths[0] + np.arange(widths[1])] = 1
        place[slopes[1]] = 0
        place[np.arange(widths[1])[slopes[1]], np.arange(widths[0])[slopes[0]]] = ratio
        none = sparse.csr_array((len(pair.samples[0]), widths[1]))
        self._both = [
            sparse.csr_array(sparse.hstack([parts[0][0], none])),
            sparse.csr_array(parts[1][0] @ sparse.csr_array(place)),
        ]
        z = sparse.csr_array(sparse.vstack(self._both))
        used = np.diff(z.tocsc().indptr) > 0
        prior = linalg.block_diag(*priors)
        self._used, self._parts, self._widths = used, parts, widths
        noise = np.concatenate(
            [
                1 / spread.noise_mag(sample) ** 2
                for sample, spread in zip(pair.samples, SPREADS, strict=True)
            ]
        )
        self._weighted = sparse.csr_array(sparse.diags_array(noise) @ z[:, np.flatnonzero(used)])
        counts = [sample.stars for sample in pair.samples]
        star = np.concatenate([pair.samples[0].star, counts[0] + pair.samples[1].star])
        of_star = sparse.csr_array(
            (np.ones(len(star)), (star, np.arange(len(star)))), shape=(sum(counts), len(star))
        )
        inverse = self._stars() + sparse.diags_array(np.bincount(star, noise))
        self._noise, self._of_star, self._solver = noise, of_star, splu(sparse.csc_array(inverse))
        by_star = (of_star @ self._weighted).toarray()
        normal = (z[:, np.flatnonzero(used)].T @ self._weighted).toarray()
        normal -= by_star.T @ self._solver.solve(by_star)
        self._factor = linalg.cho_factor(normal + prior[np.ix_(used, used)])

    def _stars(self) -> sparse.csr_array:
        """Return the inverse covariance of all stars' deviations."""
        first = self._pair.samples[0]
        sd = np.concatenate(
            [s.star_mag(x) for s, x in zip(SPREADS, self._pair.samples, strict=True)]
        )
        i, j = common_stars(self._pair.sources, 0, 1)
        j = first.stars + j
        known = np.zeros(len(sd), dtype=bool)
        known[i] = known[j] = True
        diagonal = np.where(known, 1 / (1 - RHO**2), 1.0) / sd**2
        across = -RHO / (1 - RHO**2) / (sd[i] * sd[j])
        rows, columns = np.concatenate([i, j]), np.concatenate([j, i])
        off = sparse.csr_array((np.tile(across, 2), (rows, columns)), shape=(len(sd),) * 2)
        return sparse.csr_array(sparse.diags_array(diagonal) + off)

    def errors(self, draws: tuple[Drawn, Drawn]) -> list[blup.Errors]:
        delta = np.concatenate([draw.delta for draw in draws])
        stars = self._solver.solve(self._of_star @ (self._noise * delta))
        right = self._weighted.T @ (delta - self._of_star.T @ stars)
        found = np.zeros(len(self._used))
        found[self._used] = linalg.cho_solve(self._factor, right)
        out, start = [], 0
        for sample, draw, (design, first), width in zip(
            self._pair.samples, draws, self._parts, self._widths, strict=True
        ):
            own = found[start : start + width]
            values = {}
            for name in blup.CORRECTIONS:
                kept = np.zeros(width)
                kept[slice(*first[name])] = own[slice(*first[name])]
                values[name] = design @ kept
            out.append(blup.errors(sample, draw, **values))
            start += width
        return out


def together(pair: Pair, answers: list[joint_fit.Answer]) -> tuple[float, list[joint_fit.Answer]]:
    """Return the correlation found, and the answers of both surveys solved at once."""
    residuals = [
        StarResiduals.of(a.fit, s.field[a.fit.design.exposures.visit])
        for a, s in zip(answers, pair.samples, strict=True)
    ]
    rows = common_stars(pair.sources, 0, 1)
    found = correlate(residuals[0], residuals[1], rows, 1)
    follow = one_factor({(0, 1): found}, 2)
    members = [
        Member(name, a.fit, source)
        for name, a, source in zip("ab", answers, pair.sources, strict=True)
    ]
    fields = [str(number) for number in range(pair.samples[0].fields)]
    answers = [copy.copy(answer) for answer in answers]
    fits = solve_surveys(members, follow, [SharedTerm("slope", (fields, fields))])
    for answer, fit in zip(answers, fits, strict=True):
        answer.fit = fit
    return found.value, answers


@pytest.fixture(scope="module")
def outcome():
    """Return errors alone, together and of the bound, pulls alone and together; correlations.

    By draw and survey; pulls, squared, of visits and of CCDs in visits.
    """
    pair = Pair.drawn(12)
    bound = Bound(pair)
    sizes, pulls, correlations = [], [], []
    for seed in closure_seeds():
        draws = pair.draws(seed)
        alone = [
            joint_fit.solve(sample, draw, spread)
            for sample, draw, spread in zip(pair.samples, draws, SPREADS, strict=True)
        ]
        correlation, both = together(pair, alone)
        correlations.append(correlation)
        best = bound.errors(draws)
        for b in range(2):
            errors = both[b].errors(draws[b])
            sizes.append([rms(e.total) for e in (alone[b].errors(draws[b]), errors, best[b])])
            for answer in (alone[b], both[b]):
                made = answer.errors(draws[b])
                for level in ("visit", "ccd"):
                    stated = answer.own.error[level][made.first(level)]
                    pulls.append(np.mean((made.by_group(level) / stated) ** 2))
    shape = (len(closure_seeds()), 2)
    return (
        np.array(sizes).reshape(*shape, 3),
        np.array(pulls).reshape(*shape, 2, 2),
        np.array(correlations),
    )


def test_errors_shrink_and_reach_the_bound_of_both(outcome, record_property, capsys):
    sizes, pulls, correlations = outcome
    alone, both, best = 1000 * np.sqrt(np.mean(sizes**2, axis=0)).T
    record_property("share", (both / alone).tolist())
    with capsys.disabled():
        for b in range(2):
            print(
                f"\n  survey {b + 1} of two, total: alone {alone[b]:.2f} mmag, together"
                f" {both[b]:.2f}, bound {best[b]:.2f}, together / bound {both[b] / best[b]:.3f},"
                f" pull of visits {np.sqrt(pulls[:, b, 1, 0].mean()):.2f},"
                f" of CCDs {np.sqrt(pulls[:, b, 1, 1].mean()):.2f},"
                f" correlation {correlations.mean():.3f}, {len(sizes)} seed(s)",
                end="",
            )
    assert both[0] < 0.97 * alone[0]
    assert both[1] < 1.02 * alone[1]
    assert np.all(both <= 1.1 * best)


def test_the_correlation_is_that_of_the_draw(outcome):
    # The fit of the terms takes a few per cent of what the stars of an exposure have in common.
    assert RHO - 0.07 < outcome[2].mean() < RHO + 0.03


def test_stated_errors_are_those_made_as_much_as_alone(outcome):
    """They rest on the variances that each survey finds alone, of few CCDs and fields here."""
    alone, both = np.sqrt(outcome[1].mean(axis=0)).swapaxes(0, 1)
    assert np.all(both < 1.3)
    assert np.all(np.abs(both[:, 1] - alone[:, 1]) < 0.1)
