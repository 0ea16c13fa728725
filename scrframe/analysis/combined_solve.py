"""The solve of several surveys: which stars and columns are the same, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from scrframe.arrays import FloatArray, IntArray
from scrframe.config.bands import ShareSettings
from scrframe.config.survey import SurveyDescription
from scrframe.errors import CalibrationError
from scrframe.offsets.joint.problem import JointFit
from scrframe.offsets.joint.results import ExposureOffsets, JointResults
from scrframe.offsets.shared.correlation import (
    GROUPS,
    MIN_COMMON,
    Correlation,
    StarResiduals,
    common_stars,
    correlate,
    one_factor,
)
from scrframe.offsets.shared.layout import Member, SharedTerm
from scrframe.offsets.shared.solve import solve_surveys
from scrframe.run.colour_model import FittedModel
from scrframe.run.offsets.joint import JointSolve
from scrframe.run.offsets.joint_settings import level_labels
from scrframe.run.sample.builder import CalibrationSample

#: Logarithm of the likelihood ratio at which data speak against sharing a term.
LEAST_ODDS = -2.0
#: Stars of the same identifier that lie further apart than this are not the same, in deg.
SAME_DEG = 5 / 3600


@dataclass(frozen=True)
class Prepared:
    """A survey up to its offsets."""

    survey: SurveyDescription
    #: Of its input files.
    hashes: Mapping[str, str]
    sample: CalibrationSample
    fitted: FittedModel
    #: Of this survey alone.
    joint: JointSolve


@dataclass(frozen=True)
class SingleFit:
    """A survey with its own joint fit."""

    survey: SurveyDescription
    fit: JointFit
    #: What the columns of each level stand for.
    labels: Mapping[str, list[str]]
    #: Identifier and place of the stars of the fit. Shape (s,).
    source: IntArray
    ra_deg: FloatArray
    dec_deg: FloatArray
    #: Of each exposure of the fit.
    field: tuple[str, ...]

    @classmethod
    def of(cls, prepared: Prepared) -> SingleFit:
        """Gather what the solve needs of a run."""
        joint, sample = prepared.joint, prepared.sample.matched
        fit, state = joint.fit, joint.state
        rows = np.unique(sample.star[state.used])
        of_visit = {visit.key: visit.field for visit in prepared.sample.visits}
        exposures = fit.design.exposures
        return cls(
            prepared.survey,
            fit,
            {level.name: level_labels(level) for level in state.levels},
            np.asarray(sample.stars["source_id"][rows], dtype=np.int64),
            np.asarray(sample.stars["ref_ra"][rows], dtype=np.float64),
            np.asarray(sample.stars["ref_dec"][rows], dtype=np.float64),
            tuple(of_visit.get(exposures.visits[visit], "") for visit in exposures.visit),
        )

    def groups(self) -> IntArray:
        """Return what is resampled as a whole, by exposure: fields, visits or exposures."""
        exposures = self.fit.design.exposures
        for keys in (np.unique(self.field, return_inverse=True)[1], exposures.visit):
            if len(np.unique(keys)) >= GROUPS:
                return np.asarray(keys, dtype=np.int64)
        return np.arange(len(exposures))


@dataclass(frozen=True)
class SharedColumns:
    """What is known of a term that is shared.

    Attributes
    ----------
    sd_mag : tuple of float
        Its standard deviation by survey.
    columns, common : int
        In any of the surveys, and in all of them.
    correlation : float
        Correlation of what the first two surveys find alone in the columns that both have;
        NaN of fewer than four.
    odds : float
        Logarithm of the ratio of the likelihoods with and without sharing it.
    """

    name: str
    sd_mag: tuple[float, ...]
    columns: int
    common: int
    correlation: float
    odds: float

    @property
    def shared(self) -> bool:
        """Whether it is: the data do not speak against it."""
        return self.odds > LEAST_ODDS

    def describe(self) -> str:
        """Return in words what columns are in common, and whether they are shared."""
        said = f"{self.common} of {self.columns} columns in common"
        how = "shared" if self.shared else "not shared, the data speak against it"
        return f"{said}: {how} (log likelihood ratio {self.odds:+.1f})"


@dataclass(frozen=True)
class CombinedSolution:
    """The solve of all.

    Attributes
    ----------
    fits : tuple of JointFit
        Each survey's part of the solve; its own fit where nothing is shared.
    correlations : mapping of (int, int) to Correlation
        By pairs of surveys; empty if stars are not to be shared.
    loading : ndarray, shape (b,)
        Loading of each survey's deviations on their common factor; 0 where not shared.
    """

    surveys: tuple[SingleFit, ...]
    fits: tuple[JointFit, ...]
    alone: tuple[ExposureOffsets, ...]
    together: tuple[ExposureOffsets, ...]
    correlations: Mapping[tuple[int, int], Correlation]
    loading: FloatArray
    terms: tuple[SharedColumns, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the surveys."""
        return tuple(each.survey.name for each in self.surveys)

    def lines(self) -> Iterator[str]:
        """Yield what is shared, or why it is not, in words."""
        for (i, j), each in self.correlations.items():
            pair = f"  stars of {self.names[i]} and {self.names[j]}"
            if each.common < MIN_COMMON:
                yield f"{pair}: {each.common} in common, too few to share anything"
                continue
            said = f"{each.value:+.3f} +- {each.error:.3f}"
            used = self.loading[i] * self.loading[j] != 0
            how = "" if used else ": not significant, not shared"
            yield f"{pair}: {each.common} in common, deviations correlated by {said}{how}"
        for term in self.terms:
            yield f"  term {term.name}: {term.describe()}"
        for name, alone, both in zip(self.names, self.alone, self.together, strict=True):
            before, after = (1000 * rms(each.err_mag) for each in (alone, both))
            yield f"  errors of exposures of {name}: {before:.2f} mmag alone, {after:.2f} together"


def solve_combined(
    surveys: Sequence[SingleFit], share: ShareSettings, threads: int
) -> CombinedSolution:
    """Solve all surveys together.

    Raises CalibrationError if stars of the same identifier lie at different places, or a term
    cannot be shared.
    """
    found = _correlations(surveys) if share.stars else {}
    loading = one_factor(found, len(surveys))
    members = [Member(each.survey.name, each.fit, each.source) for each in surveys]
    terms = [SharedTerm(name, tuple(each.labels[name] for each in surveys)) for name in share.terms]
    fits, odds = _with_terms(members, loading, terms, threads)
    return CombinedSolution(
        tuple(surveys),
        tuple(fits),
        tuple(JointResults(each.fit).exposures for each in surveys),
        tuple(JointResults(fit).exposures for fit in fits),
        found,
        loading,
        tuple(_columns(surveys, each, ratio) for each, ratio in zip(terms, odds, strict=True)),
    )


def _with_terms(
    members: Sequence[Member], loading: FloatArray, terms: Sequence[SharedTerm], threads: int
) -> tuple[Sequence[JointFit], list[float]]:
    """Share terms one after the other, where the data do not speak against it.

    Returns the fits, and by term the logarithm of the ratio of the likelihoods with and
    without sharing it.
    """
    if not terms and not np.any(loading):
        return [member.fit for member in members], []
    fits = solve_surveys(members, loading, (), threads)
    shared: list[SharedTerm] = []
    odds = []
    for term in terms:
        others = solve_surveys(members, loading, [*shared, term], threads)
        ratio = others[0].whole.log_likelihood - fits[0].whole.log_likelihood
        odds.append(ratio)
        if ratio > LEAST_ODDS:
            shared.append(term)
            fits = others
    return fits, odds


def _correlations(surveys: Sequence[SingleFit]) -> dict[tuple[int, int], Correlation]:
    sources = [each.source for each in surveys]
    residuals = [StarResiduals.of(each.fit, each.groups()) for each in surveys]
    found = {}
    for i, j in combinations(range(len(surveys)), 2):
        rows = common_stars(sources, i, j)
        _require_same_places(surveys[i], surveys[j], rows)
        seed = surveys[i].survey.offsets.joint.seed
        found[i, j] = correlate(residuals[i], residuals[j], rows, seed)
    return found


def _require_same_places(
    first: SingleFit, second: SingleFit, rows: tuple[IntArray, IntArray]
) -> None:
    """Refuse identifiers that mean different stars in two surveys."""
    i, j = rows
    if not len(i):
        return
    east = (first.ra_deg[i] - second.ra_deg[j] + 180) % 360 - 180
    east, north = east * np.cos(np.deg2rad(first.dec_deg[i])), first.dec_deg[i] - second.dec_deg[j]
    apart = float(np.median(np.hypot(east, north)))
    if apart > SAME_DEG:
        raise CalibrationError(
            f"stars of {first.survey.name} and {second.survey.name} with the same identifier lie"
            f" {3600 * apart:.0f} arcsec apart: their reference catalogues"
            " number stars differently, so that nothing can be shared; set share.stars: false"
        )


def _columns(surveys: Sequence[SingleFit], shared: SharedTerm, odds: float) -> SharedColumns:
    sets = [set(labels) for labels in shared.labels]
    values = []
    for each, labels in zip(surveys, shared.labels, strict=True):
        term = each.fit.design.term(shared.name)
        values.append(dict(zip(labels, each.fit.estimate.parameters[term.columns], strict=True)))
    both = sorted(sets[0] & sets[1])
    correlation = float("nan")
    if len(both) >= 4:
        pairs = np.array([[values[0][label], values[1][label]] for label in both])
        if np.all(pairs.std(axis=0) > 0):
            correlation = float(np.corrcoef(pairs.T)[0, 1])
    return SharedColumns(
        shared.name,
        tuple(each.fit.prior_sd_mag[shared.name] for each in surveys),
        len(set.union(*sets)),
        len(set.intersection(*sets)),
        correlation,
        odds,
    )


def rms(values: FloatArray) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(values**2)))
