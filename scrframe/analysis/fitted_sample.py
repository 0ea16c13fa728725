"""What comparisons and Monte Carlo begin with: a sample, and the fit that is described."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scrframe.config import SurveyDescription
from scrframe.errors import CalibrationError, ConfigError, ScrframeError, one_line
from scrframe.observer import Observer
from scrframe.plugin import Registry
from scrframe.run.colour_model import FittedModel, fit_model
from scrframe.run.keys import versions
from scrframe.run.plugins import SelectedPlugins, resolve_plugins
from scrframe.run.sample.builder import CalibrationSample, build_sample
from scrframe.run.session import Session


class WithoutDetails(Observer):
    """Passes on steps and warnings; the rounds of a fit are a calibration's affair."""

    def __init__(self, observer: Observer) -> None:
        self.warning, self.step = observer.warning, observer.step  # type: ignore[method-assign]


def resolve_with_warnings(
    survey: SurveyDescription, data: str | Path | None, registry: Registry, observer: Observer
) -> SelectedPlugins:
    """Look up what a description names, and warn of plugins that are broken."""
    if data is not None:
        survey = survey.with_data_root(str(data))
    plugins = resolve_plugins(survey, registry)
    for broken in registry.broken:
        observer.warning(f"plugin {broken.provider.plugin!r} is broken: {broken.reason}")
    return plugins


def provenance(survey: SurveyDescription) -> dict[str, Any]:
    """Return what a comparison says of its origin, as plain JSON."""
    return {
        "versions": versions(),
        "description_sha256": survey.digest(),
        "seed": survey.colour_model.seed,
    }


def require_training(plugins: SelectedPlugins, what: str) -> None:
    """Refuse what asks how a colour model was trained where none is; raises ConfigError."""
    if plugins.reference.provides == "colour":
        raise ConfigError(
            f"reference.kind {plugins.reference.name!r} provides colours and nothing is trained:"
            f" {what} does not apply; its errors stand in the catalogue itself"
        )


def fit_sample(
    session: Session, *, keep_spectra: bool = False
) -> tuple[CalibrationSample, FittedModel]:
    """Build the sample and fit it with the description's own colour model.

    Parameters
    ----------
    keep_spectra : bool
        Whether what the reference catalogue tells of the stars is kept.

    Raises
    ------
    ScrframeError
        If the data do not allow it, or that colour model fails.
    """
    plugins = session.plugins
    sample = build_sample(session, keep_spectra=keep_spectra)
    with session.monitor.step("colour model and law"):
        try:
            observer = WithoutDetails(session.observer)
            fitted = fit_model(plugins, sample.matched, session.workers, observer)
        except ScrframeError:
            raise
        except Exception as error:  # foreign code may fail in any way
            raise CalibrationError(
                f"the description's own colour model {plugins.backend.name!r} fails"
                f" ({one_line(error)}), and all that follows rests on its colours;"
                " choose another colour_model.kind"
            ) from None
    return sample, fitted
