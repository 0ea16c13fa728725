"""What scrframe finds through the entry point."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from scrframe.plugin import SurveyLoader, hookimpl
from scrframe_vphas import __version__, loader, simulate
from scrframe_vphas.camera import omegacam
from scrframe_vphas.layout import OWN_COLUMNS, PROVIDED
from scrframe_vphas.settings import VphasCasuConfig


def example(directory: Path) -> VphasCasuConfig:
    """Write a tiny survey below a directory and return settings that read it."""
    simulate.write_example(directory)
    return VphasCasuConfig()


@hookimpl
def scrframe_survey_loaders() -> Iterable[SurveyLoader]:
    """Yield the loader of CASU single-band catalogues."""
    yield SurveyLoader(
        name="vphas_casu",
        summary="CASU single-band source lists of VPHAS+ (VST OmegaCAM), one file a visit",
        version=__version__,
        config=VphasCasuConfig,
        parts=loader.parts,
        read=loader.read,
        columns=PROVIDED,
        own_columns=OWN_COLUMNS,
        check=loader.check,
        visit_key="OBJECT, an underscore and MJD-OBS to five decimals, of the primary header",
        camera=omegacam(),
        write_simulated=simulate.write_simulated,
        example=example,
    )
