"""From inputs to a matched sample: the first pass, reference data, cuts."""

from __future__ import annotations

from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt

from scrframe.pipeline.chosen import Chosen, Inputs
from scrframe.pipeline.detections import FirstPass, first_pass
from scrframe.pipeline.monitor import StepMonitor
from scrframe.pipeline.observer import Observer
from scrframe.pipeline.reference import all_extinctions, all_sources, all_spectra
from scrframe.pipeline.sample import (
    Ledger,
    control_mask,
    derive_for,
    find_rows,
    join,
    join_extinctions,
    join_spectra,
    match_all,
    note_first_pass,
    sort_detections,
)
from scrframe.pipeline.second_opinions import SecondOpinions
from scrframe.pipeline.workspace import Workspace
from scrframe.scr.spectra import intrinsic_features
from scrframe.tables import ColumnTable, Detections, MatchedStars, ReferenceStars, Spectra

FloatArray = npt.NDArray[np.float64]


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
        Whether the observed spectra of the sample's stars are kept after `build`.

    Attributes
    ----------
    ledger : Ledger
        Counts at each cut of the Calibration Sample.
    control_ledger : Ledger
        The same for the Control Sample.
    first : FirstPass
        Set by `build`.
    spectra : Spectra or None
        Set by `build` if they are to be kept.
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
        self.spectra: Spectra | None = None
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
            matched, spectra = self._spectra(matched, stars)
        with self._monitor.step("intrinsic features"):
            return self._sample(sort_detections(matched), stars, spectra)

    def second_opinions(self, sample: MatchedStars) -> SecondOpinions | None:
        """Return other ways of dereddening the sample, if its spectra were kept."""
        survey, spectra = self._chosen.survey, self.spectra
        if spectra is None:
            return None
        curve, second = self._chosen.curve, self._chosen.second_curve
        block = survey.extinction.second_curve
        grid = spectra.wavelength_nm
        return SecondOpinions(
            flux=spectra.flux,
            k_mag=curve.curve(survey.extinction.curve.settings, grid),
            standardise=survey.colour_model.standardise,
            extinction=np.asarray(sample.stars["extinction"], dtype=np.float64),
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
            self._executor, self._space, catalogue, block.settings,
            self._inputs.second_extinctions, sources, self._observer,
        )  # fmt: skip
        row = find_rows(sources, found["source_id"])
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

    def _spectra(self, matched: Detections, stars: ReferenceStars) -> tuple[Detections, Spectra]:
        wanted = stars.take(find_rows(np.unique(matched["source_id"]), stars["source_id"]))
        spectra = all_spectra(
            self._executor,
            self._space,
            self._chosen.reference,
            self._chosen.survey.reference.settings,
            self._inputs.features,
            wanted,
            self._corrections,
            self._observer,
        )
        return join_spectra(matched, spectra, self._cuts["spectrum"], self.ledger), spectra

    def _sample(self, matched: Detections, stars: ReferenceStars, spectra: Spectra) -> MatchedStars:
        survey = self._chosen.survey
        matched = derive_for(survey.selection.control, matched)
        control = control_mask(matched, survey.selection.control, self.control_ledger.add)
        sources, first, star = np.unique(
            matched["source_id"], return_index=True, return_inverse=True
        )
        kept = stars.take(find_rows(sources, stars["source_id"]))
        extinctions = ColumnTable(matched.arrow.select(["extinction", "extinction_err"]))
        kept = join(kept, extinctions, first)
        spectra = spectra.take(find_rows(sources, spectra.source_id))
        if self._keep_spectra:
            self.spectra = spectra
        k_mag = self._chosen.curve.curve(survey.extinction.curve.settings, spectra.wavelength_nm)
        features = intrinsic_features(
            spectra.flux, k_mag, kept["extinction"], survey.colour_model.standardise
        )
        return MatchedStars(matched, kept, star.astype(np.int64), features, control)
