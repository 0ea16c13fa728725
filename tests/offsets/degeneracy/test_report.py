"""The degeneracy report against dense linear algebra, on random visit graphs."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest
from scipy import sparse
from scipy.linalg import null_space
from scipy.sparse.csgraph import connected_components

from scrframe.errors import CalibrationError, number_of
from scrframe.offsets.degeneracy.relations import listed
from scrframe.offsets.degeneracy.report import report_degeneracies, require_solvable
from scrframe.offsets.joint.mixed_model import MixedModel, Term

BINS = 3


@dataclass
class Survey:
    """Detections: visit, CCD, star and bin; field by visit; E and sky cell by star."""

    visit: np.ndarray
    ccd: np.ndarray
    star: np.ndarray
    place: np.ndarray
    field_of: np.ndarray
    extinction: np.ndarray
    sky_of: np.ndarray

    @property
    def visits(self):
        return len(self.field_of)

    def join(self, other):
        """Return both side by side, without anything in common."""
        return Survey(
            np.append(self.visit, other.visit + self.visits),
            np.append(self.ccd, other.ccd + self.ccd.max() + 1),
            np.append(self.star, other.star + len(self.sky_of)),
            np.append(self.place, other.place),
            np.append(self.field_of, other.field_of + self.field_of.max() + 1),
            np.append(self.extinction, other.extinction),
            np.append(self.sky_of, other.sky_of + self.sky_of.max() + 1),
        )


def component(rng, visits=3, ccds=3, stars=40, one_ccd=0, empty=0, cells=3):
    """Draw visits that share all their stars; some on one CCD only, some without a star."""
    ccd_of = rng.integers(0, ccds, stars)
    ccd_of[:ccds] = np.arange(ccds)
    parts = []
    for visit in range(visits):
        chosen = np.flatnonzero(rng.random(stars) < 0.7)
        chosen = np.union1d(chosen, np.arange(2 * ccds))
        if visit < one_ccd:
            chosen = chosen[ccd_of[chosen] == visit % ccds]
        parts.append((np.full(len(chosen), visit), ccd_of[chosen], chosen))
    visit, ccd, star = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Survey(
        visit,
        ccd,
        star,
        rng.integers(0, BINS, len(visit)),
        np.arange(visits + empty) // 2,
        rng.uniform(0.2, 2, stars),
        rng.integers(0, cells, stars),
    )


def healthy(seed=1):
    return component(np.random.default_rng(seed), visits=6, ccds=3, stars=400)


def columns(survey):
    """Return the columns of every term there may be: by detection, with labels and prior."""
    e = survey.extinction[survey.star]
    ccds = survey.ccd.max() + 1

    def one(code, width, weight=1.0):
        matrix = np.zeros((len(code), width))
        matrix[np.arange(len(code)), code] = weight
        return matrix

    visit, field = survey.visit, survey.field_of[survey.visit]
    names = [f"v{v}" for v in range(survey.visits)]
    fields = [f"f{f}" for f in range(survey.field_of.max() + 1)]
    position = survey.place / 2 + 0.01 * (np.arange(len(visit)) % 7)
    exposures, jitter = np.unique(visit * ccds + survey.ccd, return_inverse=True)
    left, right = one(survey.ccd, ccds), one(survey.ccd, ccds)
    bilinear = np.hstack([left * (1 - position)[:, None], right * position[:, None]])
    return {
        "constant": (one(np.zeros_like(visit), 1), ["all"], True),
        "visit": (one(visit, survey.visits), names, False),
        "static": (one(survey.ccd, ccds), [f"c{c}" for c in range(ccds)], False),
        # One column that no detection has.
        "jitter": (
            one(jitter, len(exposures) + 1),
            [*(f"v{key // ccds}c{key % ccds}" for key in exposures), "nowhere"],
            False,
        ),
        "pixel": (
            one(survey.ccd * BINS + survey.place, ccds * BINS),
            [f"c{c}p{p}" for c in range(ccds) for p in range(BINS)],
            False,
        ),
        "slope": (one(field, len(fields), e), fields, False),
        "law": (e[:, None], ["E"], True),
        "sky": (
            one(survey.sky_of[survey.star], survey.sky_of.max() + 1),
            [f"s{s}" for s in range(survey.sky_of.max() + 1)],
            False,
        ),
        "field": (one(field, len(fields)), fields, False),
        "ramp": (bilinear, [f"r{c}" for c in range(2 * ccds)], False),
        "twin": (one(visit, survey.visits), [f"t{v}" for v in range(survey.visits)], False),
        "flat visit": (one(visit, survey.visits), names, True),
        "law again": (2 * e[:, None], ["2E"], True),
    }


BY_EXPOSURE = ("constant", "visit", "static", "jitter", "field", "twin", "flat visit")
NUISANCE = ("constant", "slope", "law", "sky", "law again")


def build(survey, names):
    """Return the model of the named terms, labels, dense columns and visits of exposures."""
    terms, blocks, first = [], {}, 0
    every = columns(survey)
    names = sorted(names, key=lambda name: name not in BY_EXPOSURE)
    for name in names:
        blocks[name], _, flat = every[name]
        width = blocks[name].shape[1]
        prior = None if flat else sparse.csr_array(sparse.eye_array(width))
        role = "nuisance" if name in NUISANCE else "correction"
        terms.append(Term(name, role, first, first + width, prior))
        first += width
    # One exposure more than have detections: visit 0 on a CCD that does not exist.
    key, at, exposure = np.unique(
        survey.visit * 100 + survey.ccd, return_index=True, return_inverse=True
    )
    shared = [blocks[name] for name in names if name in BY_EXPOSURE]
    own = [blocks[name] for name in names if name not in BY_EXPOSURE]
    n = len(survey.visit)
    by_exposure = np.hstack([np.zeros((n, 0)), *shared])[at]
    by_exposure = np.vstack([by_exposure, np.ones(by_exposure.shape[1])])
    model = MixedModel(
        tuple(terms),
        sparse.csr_array(by_exposure),
        sparse.csr_array(np.hstack([np.zeros((n, 0)), *own])),
        exposure,
        survey.star,
        len(survey.sky_of),
    )
    labels = {name: every[name][1] for name in names}
    return model, labels, blocks, np.append(key // 100, 0)


def report_of(survey, names, **options):
    model, labels, blocks, visit = build(survey, names)
    visits = [f"v{v}" for v in range(survey.visits)]
    return report_degeneracies(model, labels, visit, visits, **options), blocks, labels


def rank(*blocks):
    return np.linalg.matrix_rank(np.hstack(blocks))


def proportional(a, b):
    """Return which columns of a are a multiple of some column of b."""
    norms = [np.linalg.norm(m, axis=0) for m in (a, b)]
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (a / norms[0]).T @ (b / norms[1])
    return np.any(np.abs(cosine) > 1 - 1e-9, axis=1)


def span_of_findings(report, blocks):
    """Return all null vectors of the sets of terms that are named, and where terms start."""
    names, widths = list(blocks), [b.shape[1] for b in blocks.values()]
    start = dict(zip(names, np.cumsum([0, *widths[:-1]]), strict=True))
    spans = [np.zeros((sum(widths), 0))]
    for terms in {f.terms for f in report.findings if f.terms}:
        part = null_space(np.hstack([blocks[t] for t in terms]))
        rows = np.concatenate([start[t] + np.arange(blocks[t].shape[1]) for t in terms])
        spans.append(np.zeros((sum(widths), part.shape[1])))
        spans[-1][rows] = part
    return np.hstack(spans), start


def check_null_space(report, blocks, labels):
    """All null directions lie in the sets of terms that are named, and these are no fiction."""
    spans, _ = span_of_findings(report, blocks)
    total = np.hstack(list(blocks.values()))
    nullity = total.shape[1] - np.linalg.matrix_rank(total)
    assert np.linalg.matrix_rank(spans, tol=1e-8) == nullity
    for finding in report.findings:
        check_finding(finding, blocks, labels)


def check_finding(finding, blocks, labels):
    if finding.kind == "no data" and finding.terms:
        name = finding.terms[0]
        empty = np.flatnonzero(~blocks[name].any(axis=0))
        assert listed(labels[name][c] for c in empty) in finding.message
    elif finding.kind == "confounded":
        a, b = (blocks[term] for term in finding.terms)
        if "span the same" in finding.message:
            assert rank(a) == rank(b) == rank(a, b)
        else:
            same = np.flatnonzero(proportional(a, b))
            names = listed(labels[finding.terms[0]][c] for c in same)
            assert f"columns {names} of term" in finding.message
    elif finding.kind == "null direction":
        check_null_direction(finding, blocks)


def check_null_direction(finding, blocks):
    parts = [blocks[term] for term in finding.terms]
    common = sum(rank(part) for part in parts) - rank(*parts)
    words = finding.message.split("'")
    if "is a sum of columns" in finding.message:
        inner, outer = blocks[words[1]], blocks[words[3]]
        assert rank(outer, inner) == rank(outer)
    elif "in common" in finding.message:
        assert f"have {number_of(common, 'direction')} in common" in finding.message
    elif "add up to" in finding.message:
        assert common > 0
    else:
        # No term can be left out of the set.
        total = null_space(np.hstack(parts))
        fewer = [parts[:i] + parts[i + 1 :] for i in range(len(parts))]
        smaller = [null_space(np.hstack(f)).shape[1] if f else 0 for f in fewer]
        assert total.shape[1] > max(smaller)


def check_confounded(report, blocks):
    """Columns that are multiples of each other are all linked by findings."""
    names = list(blocks)
    owner = np.repeat(np.arange(len(names)), [b.shape[1] for b in blocks.values()])
    total = np.hstack(list(blocks.values()))
    norm = np.linalg.norm(total, axis=0)
    held = norm > 0
    unit = total / np.where(held, norm, 1)
    alike = (np.abs(unit.T @ unit) > 1 - 1e-9) & (owner[:, None] != owner)
    linked = np.zeros_like(alike)
    for finding in report.findings:
        if finding.kind == "confounded":
            a, b = (names.index(term) for term in finding.terms)
            linked |= ((owner[:, None] == a) & (owner == b)) | (
                (owner[:, None] == b) & (owner == a)
            )
    classes = connected_components(sparse.csr_array(alike), directed=False)[1]
    found = connected_components(sparse.csr_array(alike & linked), directed=False)[1]
    assert np.array_equal(np.unique(classes, return_inverse=True)[1], found)


def check_ties(report, survey):
    """Groups of visits as found from a dense matrix of common stars."""
    seen = np.zeros((survey.visits, len(survey.sky_of)))
    seen[survey.visit, survey.star] = 1
    held = seen.any(axis=1)
    group = connected_components(sparse.csr_array(seen @ seen.T), directed=False)[1]
    members = [np.flatnonzero(group == g) for g in np.unique(group[held])]
    expected = {"visits " + listed(f"v{v}" for v in m) for m in members if len(members) > 1}
    found = [f.message for f in report.findings if f.kind == "disconnected"]
    assert {message.split(" share no star")[0] for message in found} == expected
    assert len(found) == len(expected)
    nothing = [f.message for f in report.findings if f.kind == "no data" and not f.terms]
    names = listed(f"v{v}" for v in np.flatnonzero(~held))
    assert nothing == ([f"visits {names} have no calibration star"] if not held.all() else [])


def check_solvable(report, blocks, survey):
    every = columns(survey)
    flat = [block for name, block in blocks.items() if every[name][2]]
    full = not flat or rank(*flat) == sum(block.shape[1] for block in flat)
    if full:
        require_solvable(report)
    else:
        with pytest.raises(CalibrationError, match="the system cannot be solved"):
            require_solvable(report)


def random_survey(rng):
    survey = None
    for _ in range(rng.integers(1, 4)):
        visits = rng.integers(1, 5)
        part = component(
            rng,
            visits,
            rng.integers(1, 4),
            rng.integers(8, 40),
            rng.integers(0, visits + 1),
            rng.integers(0, 2),
            rng.integers(1, 4),
        )
        survey = part if survey is None else survey.join(part)
    return survey


def random_terms(rng):
    every = list(columns(healthy()))
    chosen = [name for name in every if rng.random() < 0.5]
    return chosen or ["visit"]


@pytest.mark.parametrize("seed", range(200))
def test_a_random_visit_graph_has_every_degeneracy_named_and_none_invented(seed):
    rng = np.random.default_rng(seed)
    survey, names = random_survey(rng), random_terms(rng)
    report, blocks, labels = report_of(survey, names)
    assert report.numerical
    check_ties(report, survey)
    check_null_space(report, blocks, labels)
    check_confounded(report, blocks)
    check_solvable(report, blocks, survey)


@pytest.mark.parametrize("seed", range(0, 200, 4))
def test_without_dense_matrices_the_pairs_of_partitions_are_found_all_the_same(seed, monkeypatch):
    monkeypatch.setattr("scrframe.offsets.degeneracy.dependence.SAMPLE", 5)
    rng = np.random.default_rng(seed)
    survey, names = random_survey(rng), random_terms(rng)
    names = [name for name in names if name != "ramp"] or ["visit"]
    report, blocks, labels = report_of(survey, names, dense_width=0)
    assert not report.numerical
    check_ties(report, survey)
    check_confounded(report, blocks)
    for finding in report.findings:
        check_finding(finding, blocks, labels)
    # Whatever two terms have in common follows from the findings.
    spans, start = span_of_findings(report, blocks)
    for a, b in combinations(blocks, 2):
        part = null_space(np.hstack([blocks[a], blocks[b]]))
        rows = np.concatenate([start[t] + np.arange(blocks[t].shape[1]) for t in (a, b)])
        vectors = np.zeros((len(spans), part.shape[1]))
        vectors[rows] = part
        both = np.hstack([spans, vectors])
        assert np.linalg.matrix_rank(both, tol=1e-8) == np.linalg.matrix_rank(spans, tol=1e-8)


USUAL = ("constant", "visit", "static", "jitter", "pixel", "slope", "law", "sky")


def test_a_healthy_survey_has_the_gauge_and_nothing_else():
    report, _, _ = report_of(healthy(), USUAL)
    assert [f.terms for f in report.findings if f.kind == "no data"] == [("jitter",)]
    findings = [f for f in report.findings if f.kind != "no data"]
    relations = {(f.kind, f.terms, f.message) for f in findings}
    assert {r[0] for r in relations} == {"null direction"}
    expected = {
        ("constant", "visit"),
        ("constant", "static"),
        ("visit", "jitter"),
        ("static", "jitter"),
        ("static", "pixel"),
        ("constant", "sky"),
        ("law", "slope"),
    }
    assert {tuple(sorted(r[1])) for r in relations} == {tuple(sorted(e)) for e in expected}
    assert len(relations) == len(findings)
    for _, terms, message in relations:
        inner, outer = terms if terms != ("slope", "law") else terms[::-1]
        assert message == f"each column of term {inner!r} is a sum of columns of term {outer!r}"
    require_solvable(report)


def test_the_gauge_says_who_takes_what():
    report, _, _ = report_of(healthy(), USUAL)
    gauge = {f.terms: f.gauge for f in report.findings}
    assert gauge["constant", "visit"] == (
        "'constant' (flat) takes it, the priors hold the others near zero; what 'constant' takes"
        " is no part of the corrections"
    )
    assert gauge["static", "pixel"] == (
        "the priors split it by their variances; in the products means move up, from maps to CCD"
        " to visit to zero point"
    )


@pytest.mark.parametrize("seed", range(20))
def test_a_disconnected_component_leaves_the_findings_for_the_rest_unchanged(seed):
    rng = np.random.default_rng(seed)
    base = component(rng, 4, 3, 60, one_ccd=int(rng.integers(0, 3)), empty=1)
    other = component(rng, 3, 2, 50)
    names = [*USUAL, *(["twin"] if seed % 2 else [])]
    before, after = (report_of(s, names)[0].findings for s in (base, base.join(other)))
    old, new = base.visits, base.visits + other.visits
    assert set(before) - set(after) == set()
    added = set(after) - set(before)
    ties = {f.message.split(" share")[0] for f in added if f.kind == "disconnected"}
    assert ties == {
        "visits " + listed(f"v{v}" for v in range(old - 1)),
        "visits " + listed(f"v{v}" for v in range(old, new)),
    }
    # What is new lies in the sets that touch both: CCDs, CCDs with bins, cells of the sky.
    for finding in added:
        assert finding.kind in ("disconnected", "null direction")


def test_one_visit_a_field_or_one_ccd_a_visit_cannot_be_told_apart():
    rng = np.random.default_rng(2)
    survey = component(rng, 4, 3, 60, one_ccd=2)
    report, _, _ = report_of(survey, ("constant", "visit", "jitter"))
    found = {f.message for f in report.findings if f.kind == "confounded"}
    assert found == {
        "columns v0, v1 of term 'visit' are columns of term 'jitter' as well: only their sum is"
        " determined"
    }
    survey.field_of = np.arange(4)
    report, _, _ = report_of(survey, ("constant", "visit", "field"))
    found = {f.message for f in report.findings if f.kind == "confounded"}
    assert found == {"terms 'visit' and 'field' span the same: only their sum is determined"}


def test_a_slope_is_a_visit_where_the_extinction_does_not_vary():
    survey = healthy()
    survey.field_of, survey.extinction = np.arange(6), np.full(400, 0.7)
    report, _, _ = report_of(survey, ("visit", "slope"))
    assert [(f.kind, f.terms) for f in report.findings] == [("confounded", ("visit", "slope"))]


def test_three_terms_that_depend_only_together_are_named():
    survey = healthy()
    model, labels, blocks, visit = build(survey, ("visit", "slope"))
    # A third term whose column is visit v0 plus the slope of field f1.
    column = blocks["visit"][:, [0]] + blocks["slope"][:, [1]]
    model = MixedModel(
        (*model.terms, Term("both", "nuisance", model.width, model.width + 1, None)),
        model.by_exposure,
        sparse.csr_array(np.hstack([model.by_detection.toarray(), column])),
        model.exposure,
        model.star,
        model.stars,
    )
    report = report_degeneracies(model, labels, visit, [f"v{v}" for v in range(6)])
    assert [(f.kind, f.terms) for f in report.findings] == [
        ("null direction", ("visit", "slope", "both"))
    ]
    require_solvable(report)


def test_visits_with_few_common_stars_are_weakly_tied():
    survey = healthy()
    # Stars 0 to 3 alone tie visits 0 to 2 to the others.
    first = survey.visit < 3
    survey.star = np.where(first & (survey.star > 3), survey.star + 400, survey.star)
    survey.sky_of = np.tile(survey.sky_of, 2)
    survey.extinction = np.tile(survey.extinction, 2)
    kinds = {f.kind for f in report_of(survey, USUAL)[0].findings}
    assert kinds == {"null direction", "no data"}
    report, _, _ = report_of(survey, USUAL, min_shared=5)
    found = [f.message for f in report.findings if f.kind == "weak"]
    words = "have fewer than 5 stars in common with any visit outside their group"
    assert found == [f"visits v0, v1, v2 {words}", f"visits v3, v4, v5 {words}"]
    report, _, _ = report_of(survey, USUAL, min_shared=4)
    assert not [f for f in report.findings if f.kind == "weak"]


@pytest.mark.parametrize(("bend", "weak"), [(1e-2, False), (1e-4, True)])
def test_flat_terms_that_are_nearly_dependent_are_weak(bend, weak):
    survey = healthy()
    model, labels, blocks, visit = build(survey, ("visit", "law"))
    other = blocks["law"] + bend * np.random.default_rng(1).normal(size=blocks["law"].shape)
    model = MixedModel(
        (*model.terms, Term("bent", "nuisance", model.width, model.width + 1, None)),
        model.by_exposure,
        sparse.csr_array(np.hstack([model.by_detection.toarray(), other])),
        model.exposure,
        model.star,
        model.stars,
    )
    report = report_degeneracies(model, labels, visit, [f"v{v}" for v in range(6)])
    expected = [("weak", ("law", "bent"))] if weak else []
    assert [(f.kind, f.terms) for f in report.findings] == expected
    require_solvable(report)
