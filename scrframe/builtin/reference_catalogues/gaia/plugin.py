"""Gaia as the reference catalogue: G_BP and XP spectra, from the archive's own products."""

from __future__ import annotations

from collections.abc import Iterable

from scrframe.builtin.reference_catalogues.gaia.corrections import CORRECTIONS, OUTSIDE
from scrframe.builtin.reference_catalogues.gaia.features import read_features
from scrframe.builtin.reference_catalogues.gaia.parts import check, feature_parts, source_parts
from scrframe.builtin.reference_catalogues.gaia.products import GaiaXpConfig
from scrframe.builtin.reference_catalogues.gaia.sources import read_sources
from scrframe.builtin.reference_catalogues.gaia.write import write_simulated
from scrframe.plugin import ReferenceCatalogue, hookimpl
from scrframe.tables.columns import REFERENCE_REQUIRED

GAIA_XP = ReferenceCatalogue(
    name="gaia_xp",
    summary="Gaia G_BP and XP spectra, continuous or sampled, from files of the archive",
    version="1.0",
    config=GaiaXpConfig,
    provides="spectra",
    source_parts=source_parts,
    read_sources=read_sources,
    feature_parts=feature_parts,
    read_features=read_features,
    columns=(*REFERENCE_REQUIRED, "g_mag", "bp_mag", "rp_mag", "phot_bp_rp_excess_factor"),
    own_columns=(OUTSIDE,),
    corrections=CORRECTIONS,
    band="G_BP",
    check=check,
    write_simulated=write_simulated,
)


@hookimpl
def scrframe_reference_catalogues() -> Iterable[ReferenceCatalogue]:
    """Yield the Gaia XP catalogue."""
    yield GAIA_XP
