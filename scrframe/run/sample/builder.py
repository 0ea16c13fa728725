"""From inputs to a matched sample: the first pass, reference data, cuts."""

from __future__ import annotations

from concurrent.futures import Executor

import numpy as np

from scrframe.arrays import FloatArray
from scrframe.observer import Observer
from scrframe.run.offsets.systematics import SecondOpinions
from scrframe.run.plugins import Chosen, Inputs
from scrframe.run.progress import StepMonitor
from scrframe.run.sample.assembly import (
    Ledger,
    control_mask,
    derive_for,
    join,
    join_extinctions,
    join_features,
    match_all,
    note_first_pass,
    sort_detections,
)
from scrframe.run.sample.detections import FirstPass, first_pass
from scrframe.run.sample.features import CATALOGUE_COLOUR, feature_maker, own_curve
from scrframe.run.sample.reference_data import all_extinctions, all_features, all_sources
from scrframe.run.workspace import Workspace
from scrframe.statistics.groups import find_sorted
from scrframe.tables import (
    ColumnTable,
    Detections,
    MatchedStars,
    ReferenceStars,
    Spectra,
    StarFeatures,
)


class SampleBuilder:
    """Builds the Calibration Sample of a run, step by step.

    Parameters
    ----------
    chosen : Chosen
    inputs : Inputs
    executor : Executor
    space : Workspace
    monitor : StepMonitor
    observer : Observer
    keep_spectra : bool
        Whether what the catalogue tells of the sample's stars is kept after `build`.

    Attributes
    ----------
    ledger : Ledger
        Counts at each cut of the Calibration Sample.
    control_ledger : Ledger
        The same for the Control Sample.
    first : FirstPass
        Set by `build`.
    told : Spectra, Quantities or None
        Set by `build` if it is to be kept.
    """

    def __init__(
        self,
        chosen: Chosen,
        inputs: Inputs,
        executor: Executor,
        space: Workspace,
        monitor: StepMonitor,
        observer: Observer,
        *,
        keep_spectra: bool = False,
    ) -> None:
        self._keep_spectra = keep_spectra
        self.told: StarFeatures | None = None
        self._chosen, self._inputs, self._executor = chosen, inputs, executor
        self._space, self._monitor, self._observer = space, monitor, observer
        self._cuts = chosen.cuts()
        self._corrections = chosen.corrections(inputs.root)
        self.ledger, self.control_ledger = Ledger(), Ledger()
        self.first: FirstPass

    def build(self) -> MatchedStars:
        """Read, match, join and cut; see `Ledger` for the counts.

        Raises
        ------
        DataError, CalibrationError
            If an input is damaged or a cut leaves nothing.
        """
        with self._monitor.step("read catalogues"):
            self._first_pass()
        with self._monitor.step("match reference stars"):
            matched, stars = self._match()
        with self._monitor.step("join extinctions"):
            matched = self._extinctions(matched)
        with self._monitor.step("join spectra"):
            matched, told = self._features(matched, stars)
        with self._monitor.step("intrinsic features"):
            return self._sample(sort_detections(matched), stars, told)

    @property
    def spectra(self) -> Spectra | None:
        """Observed spectra of the sample's stars, if they have any and these were kept."""
        return self.told if isinstance(self.told, Spectra) else None

    def second_opinions(self, sample: MatchedStars) -> SecondOpinions | None:
        """Return other extinctions of the sample, if what the catalogue tells was kept."""
        survey, told = self._chosen.survey, self.told
        if told is None or self._chosen.reference.provides == "colour":
            return None
        own = np.asarray(sample.stars["extinction"], dtype=np.float64)
        if not isinstance(told, Spectra):
            none = np.zeros(sample.features.shape[1])
            return SecondOpinions(
                flux=sample.features,
                k_mag=none,
                standardise=None,
                extinction=own,
                second_extinction=self._second_extinctions(sample),
            )
        second, block = self._chosen.second_curve, survey.extinction.second_curve
        grid = told.wavelength_nm
        return SecondOpinions(
            flux=told.flux,
            k_mag=own_curve(self._chosen, told),
            standardise=survey.colour_model.standardise,
            extinction=own,
            second_extinction=self._second_extinctions(sample),
            second_k_mag=None
            if second is None or block is None
            else second.curve(block.settings, grid),
        )

    def _second_extinctions(self, sample: MatchedStars) -> FloatArray | None:
        """Return E of the second catalogue by star, the run's own where it has none."""
        catalogue = self._chosen.second_extinctions
        block = self._chosen.survey.extinction.second_values
        if catalogue is None or block is None:
            return None
        sources = sample.stars["source_id"]
        found = all_extinctions(
            self._executor,
            self._space,
            catalogue,
            block.settings,
            self._inputs.second_extinctions,
            sources,
            self._observer,
        )
        row = find_sorted(found["source_id"], sources)
        second = found["extinction"][np.maximum(row, 0)]
        own = np.asarray(sample.stars["extinction"], dtype=np.float64)
        return np.where((row >= 0) & np.isfinite(second), second, own)

    def _first_pass(self) -> None:
        survey = self._chosen.survey
        self.first = first_pass(
            self._executor,
            self._space,
            self._chosen.loader,
            survey.loader.settings,
            self._inputs.catalogues,
            self._chosen.detection_columns(),
            self._cuts["detection"],
            survey.data.on_bad_file,
            self._observer,
        )
        note_first_pass(self.ledger, self.first, self._cuts["detection"])

    def _match(self) -> tuple[Detections, ReferenceStars]:
        reference = self._chosen.survey.reference
        stars = all_sources(
            self._executor,
            self._space,
            self._chosen.reference,
            reference.settings,
            self._inputs.sources,
            self.first.footprint(),
            self._corrections,
            self._observer,
        )
        matched = match_all(
            self.first,
            stars,
            reference.match_radius,
            self._cuts["reference"],
            self.ledger,
            self._observer,
        )
        return matched, stars

    def _extinctions(self, matched: Detections) -> Detections:
        extinctions = all_extinctions(
            self._executor,
            self._space,
            self._chosen.extinctions,
            self._chosen.survey.extinction.values.settings,
            self._inputs.extinctions,
            np.unique(matched["source_id"]),
            self._observer,
        )
        return join_extinctions(matched, extinctions, self._cuts["extinction"], self.ledger)

    def _features(
        self, matched: Detections, stars: ReferenceStars
    ) -> tuple[Detections, StarFeatures]:
        wanted = stars.take(find_sorted(stars["source_id"], np.unique(matched["source_id"])))
        told = all_features(
            self._executor,
            self._space,
            self._chosen.reference,
            self._chosen.survey.reference.settings,
            self._inputs.features,
            wanted,
            self._corrections,
            self._observer,
        )
        return join_features(matched, told, self._cuts["spectrum"], self.ledger), told

    def _sample(
        self, matched: Detections, stars: ReferenceStars, told: StarFeatures
    ) -> MatchedStars:
        survey = self._chosen.survey
        matched = derive_for(survey.selection.control, matched)
        control = control_mask(matched, survey.selection.control, self.control_ledger.add)
        sources, first, star = np.unique(
            matched["source_id"], return_index=True, return_inverse=True
        )
        kept = stars.take(find_sorted(stars["source_id"], sources))
        extinctions = ColumnTable(matched.arrow.select(["extinction", "extinction_err"]))
        kept = join(kept, extinctions, first)
        told = told.take(find_sorted(told.source_id, sources))
        if self._keep_spectra:
            self.told = told
        if self._chosen.reference.provides == "colour":
            kept = kept.with_columns({CATALOGUE_COLOUR: told.rows[:, 0]})
        features = feature_maker(self._chosen, told)(told.rows, kept["extinction"])
        return MatchedStars(matched, kept, star.astype(np.int64), features, control)
