"""Settings of the tables of stellar parameters and of reddening."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from scrframe.plugin import PluginConfig

#: A(Ks) per unit E at 2159 nm in the extinction curve of Zhang, Green & Rix (2023).
KS_PER_E = 0.2695


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if not value[0] < value[1]:
        raise ValueError("must ascend")
    return value


Range = Annotated[tuple[float, float], AfterValidator(_ascending)]


class ParameterColumns(PluginConfig):
    """Columns of the table; the defaults are those of APOGEE's allStar of DR17."""

    source_id: str = Field(
        default="GAIAEDR3_SOURCE_ID", description="Gaia's identifier, whole numbers."
    )
    teff: str = Field(default="TEFF", description="Effective temperature in K.")
    logg: str = Field(default="LOGG", description="Surface gravity in dex.")
    feh: str = Field(default="M_H", description="Metallicity in dex.")
    snr: str | None = Field(
        default="SNR", description="S/N of the spectrum; null if there is none."
    )
    further: dict[str, str] = Field(
        default_factory=dict,
        description="Further parameters to learn from: own name to column, such as"
        " {alpha: ALPHA_M}.",
    )

    @field_validator("further")
    @classmethod
    def _new_names(cls, value: dict[str, str]) -> dict[str, str]:
        taken = sorted(set(value) & {"teff", "logg", "feh", "snr", "source_id"})
        if taken:
            raise ValueError(f"names {', '.join(taken)}, which stand beside it already")
        return value


class ParameterErrors(PluginConfig):
    """Columns of the errors, which the Monte Carlo draws from; null where there is none."""

    teff: str | None = Field(default="TEFF_ERR", description="Error of T_eff in K.")
    logg: str | None = Field(default="LOGG_ERR", description="Error of log g in dex.")
    feh: str | None = Field(default="M_H_ERR", description="Error of [Fe/H] in dex.")


class ParameterRanges(PluginConfig):
    """Values outside, such as -9999, count as missing; such stars are left out."""

    teff: Range = Field(default=(2000.0, 60000.0), description="In K.")
    logg: Range = Field(default=(-1.0, 9.5), description="In dex.")
    feh: Range = Field(default=(-5.0, 1.5), description="In dex.")


class StellarParametersConfig(PluginConfig):
    """Where the table of parameters and Gaia's sources are, and how they are read."""

    sources: str = Field(
        default="gaia_source/*",
        description="Files of gaia_source, below the data root; folders count.",
    )
    table: str = Field(
        default="apogee/*",
        description="The table, below the data root: FITS, Parquet, CSV, ECSV or VOTable; of"
        " several files all count.",
    )
    columns: ParameterColumns = Field(default=ParameterColumns(), description="Its columns.")
    errors: ParameterErrors = Field(default=ParameterErrors(), description="Those of errors.")
    valid: ParameterRanges = Field(default=ParameterRanges(), description="Ranges of values.")
    ref_epoch: float = Field(
        default=2016.0,
        description="Epoch of Gaia's positions (Julian year) where a file does not say.",
    )
    gaia_columns: dict[str, str] = Field(
        default_factory=dict,
        description="Names of columns of gaia_source that differ from the archive's.",
    )


class ReddeningColumns(PluginConfig):
    """Columns of the table of reddening; the defaults are those of APOGEE's allStar."""

    source_id: str = Field(
        default="GAIAEDR3_SOURCE_ID", description="Gaia's identifier, whole numbers."
    )
    extinction: str = Field(default="AK_TARG", description="Any measure of the extinction.")
    extinction_err: str | None = Field(
        default=None, description="Its error, in the same unit; by default `err` for all."
    )


class ParameterTableConfig(PluginConfig):
    """A column of a table as the extinction E of stars."""

    table: str = Field(
        default="apogee/*",
        description="The table, below the data root: FITS, Parquet, CSV, ECSV or VOTable.",
    )
    columns: ReddeningColumns = Field(default=ReddeningColumns(), description="Its columns.")
    scale: float = Field(
        default=round(1 / KS_PER_E, 3),
        gt=0,
        description="E per unit of the column; by default that of A(Ks) in the curve of Zhang,"
        " Green & Rix (2023).",
    )
    scale_err: float = Field(
        default=0.0,
        ge=0,
        description="Error of `scale`, which adds to the error of each E in proportion. All stars"
        " share it, and the reddening law takes it up.",
    )
    err: float = Field(
        default=0.03, ge=0, description="Error of the column where no column tells, in its unit."
    )
    valid: Range = Field(
        default=(-0.5, 10.0), description="Values outside, such as -9999, are missing."
    )
