"""Synthetic photometry of Gaia XP spectra: colours that need no training.

For bands that the spectra cover, the predicted magnitude is that of the observed spectrum
through the survey's passband, which the user supplies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from scrframe.arrays import FloatArray
from scrframe.builtin.reference_catalogues.gaia import parts as gaia_parts
from scrframe.builtin.reference_catalogues.gaia import plugin as gaia_sources
from scrframe.builtin.reference_catalogues.gaia.corrections import CORRECTIONS, OUTSIDE
from scrframe.builtin.reference_catalogues.gaia.features import StarFluxes, Target, read_fluxes
from scrframe.builtin.reference_catalogues.gaia.products import (
    SAMPLES_NM,
    GaiaRelease,
    GaiaXpConfig,
)
from scrframe.builtin.reference_catalogues.gaia.write import write_simulated
from scrframe.errors import CalibrationError, DataError
from scrframe.plugin import (
    ChosenCorrection,
    ColourModel,
    FittedColourModel,
    NoConfig,
    Part,
    PluginConfig,
    ReferenceCatalogue,
    file_part,
    hookimpl,
)
from scrframe.spectra import XpOperator, load_operator
from scrframe.spectra.passband import photon_weights, read_passband, read_spectrum
from scrframe.tables import Footprint, Quantities, ReferenceStars
from scrframe.tables.columns import REFERENCE_REQUIRED
from scrframe.units import MAG_PER_RELATIVE_FLUX

WavelengthUnit = Literal["nm", "angstrom", "um"]


class Passband(PluginConfig):
    """The passband of the band that is calibrated."""

    file: str = Field(
        default="passband.csv",
        min_length=1,
        description="The passband, below the data root: a table of wavelength and transmission"
        " per photon, linear in between.",
    )
    wavelength: str = Field(
        default="wavelength",
        description="Column of the wavelength; col1, col2, ... in a text without names.",
    )
    transmission: str = Field(default="transmission", description="Column of the transmission.")
    wavelength_unit: WavelengthUnit = Field(
        default="nm", description="Unit of the wavelength, where the file does not state it."
    )


class Vega(PluginConfig):
    """A spectrum of Vega, which is not shipped."""

    file: str = Field(
        min_length=1,
        description="The spectrum, below the data root, such as CALSPEC's alpha_lyr_stis.",
    )
    wavelength: str = Field(default="WAVELENGTH", description="Column of the wavelength.")
    flux: str = Field(default="FLUX", description="Column of the flux per unit wavelength.")
    wavelength_unit: WavelengthUnit = Field(
        default="angstrom", description="Unit of the wavelength, where the file does not state it."
    )
    flux_unit: Literal["erg / (s cm2 Angstrom)", "W / (m2 nm)"] = Field(
        default="erg / (s cm2 Angstrom)",
        description="Unit of the flux, where the file does not state it.",
    )
    magnitude: float = Field(default=0.0, description="Magnitude of Vega in the band.")


class XpSyntheticConfig(PluginConfig):
    """Where the Gaia products and the passband are."""

    sources: str = Field(
        default="gaia_source/*",
        description="Files of gaia_source, below the data root; folders count.",
    )
    spectra: str = Field(
        default="gaia_xp/*", description="Files of XP spectra, below the data root; folders count."
    )
    passband: Passband = Field(
        default=Passband(file="passband.csv"), description="The passband of the band."
    )
    system: Literal["AB", "Vega"] = Field(
        default="AB",
        description="System of the synthetic magnitudes, and so of the calibrated ones.",
    )
    vega: Vega | None = Field(default=None, description="Spectrum of Vega, for the system Vega.")
    product: Literal["auto", "continuous", "sampled"] = Field(
        default="auto", description="Which XP product to read; auto takes the one that is there."
    )
    release: GaiaRelease = Field(default="dr3", description="Gaia's release, dr3 or dr4.")
    ref_epoch: float = Field(
        default=2016.0,
        description="Epoch of the positions (Julian year) where a file does not say.",
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Names of Gaia's columns that differ from the archive's: archive name to own.",
    )

    @model_validator(mode="after")
    def _vega_is_known(self) -> XpSyntheticConfig:
        if (self.system == "Vega") != (self.vega is not None):
            raise ValueError("needs vega (a spectrum of Vega) with system Vega, and only then")
        return self

    def gaia(self) -> GaiaXpConfig:
        """Return the settings by which Gaia's products are found and read."""
        names = ("sources", "spectra", "product", "release", "ref_epoch", "columns")
        return GaiaXpConfig.model_validate({name: getattr(self, name) for name in names})


KEY = "xp_synthetic"


def fetched(config: XpSyntheticConfig) -> dict[str, str]:
    """Return what archives have of it, and the patterns of the files."""
    return gaia_sources.fetched(config.gaia())


def source_parts(config: XpSyntheticConfig, root: Path) -> list[Part]:
    """Return the parts of gaia_source; raises DataError where there is none."""
    try:
        return gaia_parts.source_parts(config.gaia(), root)
    except DataError as error:
        raise DataError(str(error).replace("gaia_xp.", f"{KEY}.")) from None


def feature_parts(config: XpSyntheticConfig, root: Path) -> list[Part]:
    """Return the parts of the XP spectra, with the passband's weights, and its files.

    Raises DataError if there is none, the passband cannot be used, or the spectra do not cover it.
    """
    for path in files(config, root):
        if not path.is_file():
            raise DataError(f"{path}: no such file; put it there or set {KEY}.passband.file")
    supplied = [file_part(path, f"{KEY}:{path}") for path in files(config, root)]
    weights = sample_weights(config, root)
    try:
        found = gaia_parts.feature_parts(config.gaia(), root)
    except DataError as error:
        raise DataError(str(error).replace("gaia_xp.", f"{KEY}.")) from None
    # What is kept of a part must not outlive a change of the passband.
    mark = "|".join(part.fingerprint for part in supplied)
    return [
        *(
            replace(
                part,
                fingerprint=f"{part.fingerprint}|{mark}",
                detail={**part.detail, "weights": weights},
            )
            for part in found
        ),
        *supplied,
    ]


def files(config: XpSyntheticConfig, root: Path) -> list[Path]:
    """Return the files that the user supplies for the passband."""
    given = [config.passband.file, *([] if config.vega is None else [config.vega.file])]
    return [root / Path(name).expanduser() for name in given]


def sample_weights(config: XpSyntheticConfig, root: Path) -> FloatArray:
    """Return the weights of the 343 samples whose sum is the flux, 1 at magnitude 0.

    Raises DataError if the passband or the spectrum of Vega cannot be used, or the samples do not
    cover the passband.
    """
    band = config.passband
    path, *others = files(config, root)
    wavelength, transmission = read_passband(
        path, band.wavelength, band.transmission, default=band.wavelength_unit
    )
    vega = None
    if config.vega is not None:
        given = config.vega
        defaults = (given.wavelength_unit, given.flux_unit)
        vega = read_spectrum(others[0], given.wavelength, given.flux, defaults=defaults)
    try:
        return photon_weights(SAMPLES_NM, wavelength, transmission, config.system, vega)
    except CalibrationError as error:
        raise DataError(f"{path}: {error}") from None


def example(directory: Path) -> XpSyntheticConfig:
    """Write a passband, no camera's own, and return settings that name it from anywhere."""
    path = directory.resolve() / "passband.csv"
    path.write_text("wavelength,transmission\n450,0\n500,1\n550,1\n600,0\n", encoding="utf-8")
    return XpSyntheticConfig(passband=Passband(file=str(path)))


def check(part: Part, config: XpSyntheticConfig) -> None:
    """Read the first rows of a part; raises DataError where that fails."""
    if "columns" in part.detail:
        gaia_parts.check(part, config.gaia())


def read_sources(
    part: Part,
    config: XpSyntheticConfig,
    footprint: Footprint | None,
    corrections: Sequence[ChosenCorrection],
) -> ReferenceStars:
    """Read the stars of one part that lie in the footprint and have a spectrum.

    Raises DataError if the file is damaged.
    """
    return gaia_sources.read_sources(part, config.gaia(), footprint, corrections)


def read_features(
    part: Part,
    config: XpSyntheticConfig,
    stars: ReferenceStars,
    corrections: Sequence[ChosenCorrection],
) -> Quantities:
    """Return the colours m_syn - reference magnitude of the stars given.

    m_syn counts photons of the observed spectrum: neither dereddening nor training comes in.
    Its error is that of the coefficients, with their correlations; the error of the
    reference magnitude drops out of the predicted magnitude.

    Raises DataError if the file is damaged.
    """
    found: list[StarFluxes] = []
    if "weights" in part.detail:
        found = read_fluxes(part, stars, corrections, through(part.detail["weights"]))
    star = np.concatenate([np.empty(0, np.int64), *(each.star for each in found)])
    flux, error = (
        np.concatenate([np.empty(0), *(getattr(each, name)[:, 0] for each in found)])
        for name in ("flux", "error")
    )
    bright = flux > 0
    safe = np.where(bright, flux, np.nan)
    mag = -2.5 * np.log10(safe) + (0.0 if config.vega is None else config.vega.magnitude)
    return Quantities(
        source_id=np.array(stars["source_id"][star]),
        names=("colour",),
        values=(mag - stars["reference_mag"][star])[:, None],
        errors=(MAG_PER_RELATIVE_FLUX * error / safe)[:, None],
        snr=flux / np.where(error > 0, error, np.nan),
        flags=np.concatenate([np.empty(0, np.uint8), *(each.flags for each in found)]),
    )


def through(weights: FloatArray) -> Target:
    """Return the target that weights of the 343 samples make: a flux through a passband."""
    sampled = load_operator("sampled")
    column = weights[:, None]
    centre = np.array([float(weights @ sampled.wavelength_nm / weights.sum())])
    return Target(
        XpOperator(centre, sampled.bp @ column, sampled.rp @ column, sampled.provenance),
        lambda samples: samples @ column,
        lambda errors: np.sqrt(errors**2 @ column**2),
        sampled,
    )


XP_SYNTHETIC = ReferenceCatalogue(
    name="xp_synthetic",
    summary="Synthetic photometry of Gaia XP spectra through a passband; needs no training",
    version="1.0",
    config=XpSyntheticConfig,
    provides="colour",
    source_parts=source_parts,
    read_sources=read_sources,
    feature_parts=feature_parts,
    read_features=read_features,
    columns=(*REFERENCE_REQUIRED, "g_mag", "bp_mag", "rp_mag", "phot_bp_rp_excess_factor", "snr"),
    own_columns=(OUTSIDE,),
    corrections=CORRECTIONS,
    band="G_BP",
    check=check,
    write_simulated=write_simulated,
    fetched=fetched,
    example=example,
)


def fit_nothing(
    features: Any, colour_mag: Any, weights: Any, config: NoConfig, seed: int, threads: int
) -> FittedColourModel:
    """Refuse to learn.

    Raises
    ------
    CalibrationError
        Always.
    """
    raise CalibrationError("colour_model none learns nothing; choose another colour_model.kind")


NONE = ColourModel(
    name="none",
    summary="No training, for a reference catalogue that provides colours",
    version="1.0",
    fit=fit_nothing,
    learns=False,
)


@hookimpl
def scrframe_reference_catalogues() -> Iterable[ReferenceCatalogue]:
    """Yield the catalogue of synthetic photometry."""
    yield XP_SYNTHETIC


@hookimpl
def scrframe_colour_models() -> Iterable[ColourModel]:
    """Yield the model that stands for none."""
    yield NONE
