"""From inputs to the Calibration Sample: the first pass, reference data, cuts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scrframe.arrays import FloatArray, IntArray
from scrframe.products.solution import VisitSeen
from scrframe.run.offsets.curve_slope import spectral_shape
from scrframe.run.offsets.systematics import AlternativeDereddening
from scrframe.run.sample.assembly import (
    CutFlow,
    control_mask,
    derive_for,
    join,
    join_extinctions,
    join_features,
    note_first_pass,
    sort_detections,
)
from scrframe.run.sample.detections import PartRead, first_pass
from scrframe.run.sample.matching import match_all
from scrframe.run.sample.reference_data import (
    CATALOGUE_COLOUR,
    all_extinctions,
    all_features,
    all_sources,
    feature_maker,
    own_curve,
)
from scrframe.run.session import Session
from scrframe.scr.extinction_errors import calibrated_extinctions
from scrframe.statistics.groups import find_sorted
from scrframe.tables import (
    ColumnTable,
    Detections,
    MatchedStars,
    ReferenceStars,
    Spectra,
    StarFeatures,
)

#: Column of the reference stars: E as catalogued, where the sample's is the best guess of it.
CATALOGUE_E = "catalogue_extinction"
#: How much larger errors of E may be than stated: how far they are, catalogues hardly know.
NOISIER = 1.25


@dataclass(frozen=True)
class CalibrationSample:
    """The Calibration Sample of a run, with what it was built from."""

    #: Detections with their reference stars; the Control Sample among them is marked.
    matched: MatchedStars
    #: The catalogues.
    parts: tuple[PartRead, ...]
    #: Damaged catalogues that were left out, and why.
    skipped: Mapping[str, str]
    #: All visits, each once, in the order of the parts.
    visits: tuple[VisitSeen, ...]
    #: Detections and stars that each cut leaves of the Calibration and the Control Sample.
    cut_flow: tuple[Mapping[str, Any], ...]
    control_cut_flow: tuple[Mapping[str, Any], ...]
    #: What the reference catalogue tells of the stars, if it was to be kept.
    star_features: StarFeatures | None = None

    @property
    def spectra(self) -> Spectra | None:
        """Observed spectra of the stars, if they have any and these were kept."""
        return self.star_features if isinstance(self.star_features, Spectra) else None


def build_sample(session: Session, *, keep_spectra: bool = False) -> CalibrationSample:
    """Read, match, join and cut.

    What the catalogue tells of the sample's stars is kept if `keep_spectra` says so. Raises
    DataError or CalibrationError if an input is damaged or a cut leaves nothing.
    """
    cuts, monitor, flow = session.plugins.cuts(), session.monitor, CutFlow()
    with monitor.step("read catalogues"):
        first = first_pass(
            session.executor,
            session.workspace,
            session.plugins.loader,
            session.plugins.survey.loader.settings,
            session.inputs.catalogues,
            session.plugins.detection_columns(),
            cuts["detection"],
            session.plugins.survey.data.on_bad_file,
            session.observer,
            session.files,
        )
        note_first_pass(flow, first, cuts["detection"])
    with monitor.step("match reference stars"):
        stars = all_sources(session, first.footprint())
        radius = session.plugins.survey.reference.match_radius
        matched = match_all(
            first,
            stars,
            radius,
            cuts["reference"],
            flow,
            session.observer,
            session.executor,
            session.workspace,
        )
    with monitor.step("join extinctions"):
        extinctions = all_extinctions(session, np.unique(matched["source_id"]))
        matched = join_extinctions(matched, extinctions, cuts["extinction"], flow)
    with monitor.step("join spectra"):
        features = all_features(session, _rows_of(stars, np.unique(matched["source_id"])))
        matched = join_features(matched, features, cuts["spectrum"], flow)
    with monitor.step("intrinsic features"):
        control_flow = CutFlow()
        sample, features = _matched_stars(
            session, sort_detections(matched), stars, features, control_flow
        )
    return CalibrationSample(
        sample,
        first.parts,
        first.skipped,
        tuple(first.visits),
        tuple(flow.rows),
        tuple(control_flow.rows),
        features if keep_spectra else None,
    )


def _rows_of(stars: ReferenceStars, source_id: IntArray) -> ReferenceStars:
    return stars.take(find_sorted(stars["source_id"], source_id))


def _matched_stars(
    session: Session,
    matched: Detections,
    stars: ReferenceStars,
    features: StarFeatures,
    control_flow: CutFlow,
) -> tuple[MatchedStars, StarFeatures]:
    """Return the sample, each star once, and what the catalogue tells of these stars."""
    plugins = session.plugins
    control_cuts = plugins.survey.selection.control
    matched = derive_for(control_cuts, matched)
    control = control_mask(matched, control_cuts, control_flow.add)
    sources, first, star = np.unique(matched["source_id"], return_index=True, return_inverse=True)
    extinctions = ColumnTable(matched.arrow.select(["extinction", "extinction_err"]))
    kept = join(_rows_of(stars, sources), extinctions, first)
    features = features.take(find_sorted(features.source_id, sources))
    if plugins.reference.provides == "colour":
        kept = kept.with_columns({CATALOGUE_COLOUR: features.rows[:, 0]})
    elif plugins.survey.extinction.regress:
        best = best_extinctions(matched, kept, first)
        kept = kept.with_columns({"extinction": best, CATALOGUE_E: kept["extinction"]})
        matched = matched.with_columns({"extinction": best[star]})
    rows = feature_maker(plugins, features)(features.rows, kept["extinction"])
    shape = None
    if isinstance(features, Spectra):
        shape = spectral_shape(plugins, features, kept["extinction"])
    return MatchedStars(matched, kept, star.astype(np.int64), rows, control, shape), features


def best_extinctions(
    matched: Detections, stars: ReferenceStars, first: IntArray, scale: float = 1.0
) -> FloatArray:
    """Return the best guess of each star's E given its field's, shape (s,).

    Parameters
    ----------
    matched : Detections
    stars : ReferenceStars
        With the extinctions as catalogued.
    first : ndarray of int, shape (s,)
        A detection of each star: it gives the field, or the visit where fields have no names.
    scale : float
        What errors are multiplied by.
    """
    codes, labels = matched.codes("field" if "field" in matched else "visit")
    if not any(labels):
        codes = matched.codes("visit")[0]
    name = CATALOGUE_E if CATALOGUE_E in stars else "extinction"
    value, error = (np.asarray(stars[each], dtype=np.float64) for each in (name, "extinction_err"))
    field = np.asarray(codes, dtype=np.int64)[first]
    return calibrated_extinctions(value, scale * error, field)


def alternative_dereddening(
    session: Session, sample: CalibrationSample
) -> AlternativeDereddening | None:
    """Return other extinctions of the sample, if what the catalogue tells was kept."""
    plugins, features, matched = session.plugins, sample.star_features, sample.matched
    survey = plugins.survey
    if features is None or plugins.reference.provides == "colour":
        return None
    own = np.asarray(matched.stars["extinction"], dtype=np.float64)
    second_e = _second_extinctions(session, matched)
    noisier = None
    if survey.extinction.regress and CATALOGUE_E in matched.stars:
        first = np.unique(matched.star, return_index=True)[1]
        noisier = best_extinctions(matched.detections, matched.stars, first, NOISIER)
    if not isinstance(features, Spectra):
        none = np.zeros(matched.features.shape[1])
        return AlternativeDereddening(matched.features, none, None, own, second_e, None, noisier)
    second, block = plugins.second_curve, survey.extinction.second_curve
    second_k = None
    if second is not None and block is not None:
        second_k = second.curve(block.settings, features.wavelength_nm)
    own_k, standardise = own_curve(plugins, features), survey.colour_model.standardise
    return AlternativeDereddening(
        features.flux, own_k, standardise, own, second_e, second_k, noisier
    )


def _second_extinctions(session: Session, matched: MatchedStars) -> FloatArray | None:
    """Return E of the second catalogue by star, the run's own where it has none."""
    if session.plugins.second_extinctions is None:
        return None
    sources = matched.stars["source_id"]
    found = all_extinctions(session, sources, second=True)
    row = find_sorted(found["source_id"], sources)
    second = found["extinction"][np.maximum(row, 0)]
    own = np.asarray(matched.stars["extinction"], dtype=np.float64)
    return np.where((row >= 0) & np.isfinite(second), second, own)
