"""What `scrframe explain` prints of a visit, or of a CCD in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from scrframe.cli.rendering import NONE, known, mmag, table_of, unsigned
from scrframe.errors import number_of

if TYPE_CHECKING:
    from scrframe.analysis.explain.opened_run import DetectionCounts, Explanation
    from scrframe.analysis.explain.other_visits import Neighbour, RelatedVisits, WithoutVisit
    from scrframe.analysis.explain.visit import CcdOffset, EffectiveStars, VisitExplanation

#: Rows of tables that go on in the JSON.
MOST = 12
#: Columns of the grid of CCDs.
GRID = 8


def visit_pieces(visit: VisitExplanation) -> Iterator[str | Table]:
    """Say why a visit, or a CCD in it, has its offset."""
    what = f"visit {visit.visit}"
    yield title(visit, what if visit.ccd is None else f"CCD {visit.ccd} in {what}")
    circumstances = [
        f"field {visit.field}" if visit.field else "field not recorded",
        f"MJD {visit.mjd:.5f}" if known(visit.mjd) else "no date",
        f"season {visit.season}" if visit.season >= 0 else "no season",
    ]
    if known(visit.airmass):
        circumstances.append(f"airmass {visit.airmass:.2f}")
    yield ", ".join(circumstances)
    yield from detections(visit.detections, visit.weights)
    if not visit.detections.in_sample:
        yield "No calibration star: predicted from visits of the same field or season."
    yield from _offset(visit)
    yield _levels(visit)
    yield from _shrinkage(visit)
    if visit.ccds:
        yield from _focal_plane(visit.ccds)
    yield from _neighbours(visit.neighbours)
    yield from _related(visit.related)
    if visit.without is not None:
        yield from _without(visit, visit.without)


def _offset(visit: VisitExplanation) -> Iterator[str]:
    offset = visit.offset
    yield (
        f"\nOffset of the visit {mmag(offset.visit_mag, offset.visit_err_mag)},"
        f" constant u_ZP {mmag(offset.zero_point_mag)}, whole correction {mmag(offset.total_mag)}"
    )
    if known(offset.sys_mag):
        yield f"  systematic effects can shift it by {unsigned(offset.sys_mag)}"
    if offset.from_level:
        yield "  where it comes from: " + ", ".join(
            f"{level} on {count} CCD(s)" for level, count in offset.from_level.items()
        )


def _levels(visit: VisitExplanation) -> Table:
    return table_of(
        "Levels, mean over the detections",
        ("level", "what"),
        ("mean", "spread", "prior sd", "columns"),
        (
            (
                level.level,
                level.what,
                mmag(level.mean_mag, level.err_mag),
                unsigned(level.rms_mag),
                unsigned(level.sd_mag),
                f"{level.columns:,}",
            )
            for level in visit.levels
        ),
    )


def _shrinkage(visit: VisitExplanation) -> Iterator[str]:
    plain = visit.shrinkage
    if not known(plain.plain_mean_mag):
        return
    yield (
        f"Plain mean of its stars {mmag(plain.plain_mean_mag, plain.plain_err_mag)}, fitted"
        f" {mmag(plain.fitted_mag)}: the solution moved it by {mmag(plain.difference_mag)}"
    )
    if visit.mode == "joint":
        prior = plain.prior_sd_mag
        yield (
            "  by weights, by what nuisance terms take (the law, patches of sky), by overlaps, and"
            " by the prior" + (f" of sd {unsigned(prior)}" if prior else "")
        )


def _focal_plane(ccds: Sequence[CcdOffset]) -> Iterator[str | Table]:
    yield from _grid(
        "\nOffset of each CCD less that of the visit (CCD: mmag)",
        {each.ccd: each.ccd_mag for each in ccds},
    )
    names = list(ccds[0].parts_mag)
    if names:
        order = sorted(ccds, key=lambda each: -abs(each.jitter_mag or 0.0))
        yield table_of(
            "CCDs that differ most in this visit alone",
            ("CCD",),
            ("whole", *names, "this visit alone", "residual", "stars"),
            (
                (
                    each.ccd,
                    mmag(each.ccd_mag, each.ccd_err_mag),
                    *(mmag(each.parts_mag[name]) for name in names),
                    mmag(each.jitter_mag),
                    mmag(each.residual_mag, each.residual_err_mag),
                    each.used,
                )
                for each in order[:5]
            ),
        )
    yield from _grid(
        "Mean residual, model less calibrated (CCD: mmag)",
        {each.ccd: each.residual_mag for each in ccds},
    )


def _grid(title: str, values: Mapping[int, float]) -> Iterator[str]:
    yield title
    cells = [f"{ccd:>3}:{mmag(value):>7}" for ccd, value in values.items()]
    for low in range(0, len(cells), GRID):
        yield "  " + "  ".join(cells[low : low + GRID])


def _neighbours(neighbours: Sequence[Neighbour]) -> Iterator[str | Table]:
    if not neighbours:
        yield "\nNo other visit shares a star with it: only the model ties it to the others."
        return
    yield table_of(
        "\nNeighbours: visits that share stars with it",
        ("visit", "field"),
        ("stars", "this less the other, calibrated", "error to expect"),
        (
            (
                each.visit,
                each.field or NONE,
                f"{each.shared:,}",
                mmag(each.difference_mag, each.err_mag),
                unsigned(each.expected_err_mag),
            )
            for each in neighbours[:MOST]
        ),
    )
    if len(neighbours) > MOST:
        yield f"  and {len(neighbours) - MOST} more"


def _related(related: Mapping[str, RelatedVisits]) -> Iterator[str]:
    yield "Other visits of the same field, season and survey:"
    for name, others in related.items():
        line = f"  {name}: {number_of(others.visits, 'visit')}"
        if known(others.mean_mag):
            line += f", mean offset {mmag(others.mean_mag)}"
            line += f", sd {unsigned(others.sd_mag)}" if known(others.sd_mag) else ""
        yield line


def _without(visit: VisitExplanation, without: WithoutVisit) -> Iterator[str | Table]:
    yield "\nWithout its stars"
    predicted = without.fallback
    if predicted is not None:
        yield (
            f"  its own offset would be {mmag(predicted.offset_mag, predicted.err_mag)}, from its"
            f" {predicted.level}, instead of {mmag(visit.offset.visit_mag)}"
        )
    elif visit.mode == "sequential":
        yield "  it would have no offset, and its detections no correction"
    if without.maps is not None:
        yield "  other visits and their CCDs would keep their offsets: each is a mean of its own"
        for each in without.maps:
            yield (
                f"  {each.columns:,} columns of {each.level} would move by"
                f" {unsigned(each.rms_mag)} (rms), at most"
                f" {unsigned(each.largest_mag)}"
            )
        return
    if not without.moved:
        yield "  no other visit shares its stars; none would move by them"
        return
    rows = (
        (each.visit, mmag(each.move_mag), unsigned(each.err_mag)) for each in without.moved[:MOST]
    )
    yield table_of("  Neighbours would move by", ("visit",), ("move", "its error"), rows)
    yield (
        f"  (solved anew: {', '.join(without.levels or ())} of these visits, from the detections;"
        " weights, variances, the model and all other terms held)"
    )


def title(explanation: Explanation, what: str) -> str:
    """Return what is explained, of which run, and in which unit."""
    note = f" - {explanation.data_note}" if explanation.data_note else ""
    return (
        f"{explanation.survey}, {explanation.band} band, mode {explanation.mode}: {what}{note}\n"
        "Offsets are corrections, to be added to observed magnitudes; all in mmag."
    )


def detections(counts: DetectionCounts, worth: EffectiveStars | None = None) -> Iterator[str]:
    """Say how many detections there are, used and left out, and what they are worth."""
    yield (
        f"\n{counts.in_sample:,} detections in the Calibration Sample, {counts.used:,} used"
        f" ({counts.stars_used:,} stars)"
    )
    if counts.left_out:
        left = (f"{count:,} {why}" for why, count in counts.left_out.items())
        yield "  left out: " + ", ".join(left)
    if counts.low_weight:
        yield f"  used with less than half their weight, as outliers: {counts.low_weight:,}"
    if counts.flags:
        yield "  flags: " + ", ".join(f"{name} {count:,}" for name, count in counts.flags.items())
    if worth is not None and counts.used:
        error = worth.statistical_err_mag
        alone = f"; by themselves they give {unsigned(error)} mmag" if known(error) else ""
        yield f"  worth {worth.effective_stars:,.0f} stars of equal weight{alone}"
