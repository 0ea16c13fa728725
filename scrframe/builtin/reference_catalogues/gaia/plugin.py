"""Gaia as the reference catalogue: G_BP and XP spectra, from the archive's own products."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray
from scrframe.builtin.reference_catalogues.gaia.corrections import (
    CORRECTIONS,
    OUTSIDE,
    correct_sources,
)
from scrframe.builtin.reference_catalogues.gaia.datalink import blocks, opened
from scrframe.builtin.reference_catalogues.gaia.features import read_features
from scrframe.builtin.reference_catalogues.gaia.parts import check, feature_parts, source_parts
from scrframe.builtin.reference_catalogues.gaia.products import COPIED, GaiaXpConfig
from scrframe.builtin.reference_catalogues.gaia.write import write_simulated
from scrframe.errors import DataError
from scrframe.io.block import Block
from scrframe.io.hats import pixel_of
from scrframe.plugin import ChosenCorrection, Part, ReferenceCatalogue, hookimpl
from scrframe.tables import Footprint, ReferenceStars
from scrframe.tables.columns import REFERENCE_REQUIRED
from scrframe.units import MAG_PER_RELATIVE_FLUX, unit_factor

Columns = dict[str, npt.NDArray[np.generic]]
#: Share of a part's stars that another unit must bring into the footprint to be suspected.
SUSPICIOUS = 0.9


def read_sources(
    part: Part,
    config: GaiaXpConfig,
    footprint: Footprint | None,
    corrections: Sequence[ChosenCorrection],
) -> ReferenceStars:
    """Read the stars of one part that lie in the footprint and have a spectrum.

    Stars without a position or G_BP are left out. A missing proper motion counts as zero:
    of such stars only a two-parameter solution is known.

    Raises DataError if the file is damaged, or positions are in another unit than degrees.
    """
    pixel = pixel_of(part.path)
    if footprint is not None and pixel is not None and not reaches(footprint, *pixel):
        return correct_sources(ReferenceStars.from_columns(_empty(config)), corrections)
    table = opened(part)
    for name in ("ra", "dec"):
        own = part.detail["columns"][name]
        unit = table.unit(own) or "deg"
        try:
            in_degrees = unit_factor(unit, "deg") == 1
        except ValueError:
            in_degrees = False
        if not in_degrees:
            raise DataError(f"{table.label}: column {own} is in {unit[:40]}; expected degrees")
    columns = part.detail["columns"]
    kept = [_stars(block, columns, config, footprint) for block in blocks(part)]
    stars = ReferenceStars.from_columns(_joined(kept) if kept else _empty(config))
    return correct_sources(stars, corrections)


def reaches(footprint: Footprint, order: int, pixel: int) -> bool:
    """Tell whether a HEALPix pixel may have stars in a footprint."""
    from mocpy import MOC  # noqa: PLC0415 - slow to import

    cell = MOC.from_healpix_cells(
        np.array([pixel], np.uint64), np.array([order], np.uint8), max_depth=order
    )
    centre = cell.barycenter()
    # Circles about both: to the farthest corner, with the room of a few arcsec for edges.
    radius = float(cell.largest_distance_from_coo_to_vertices(centre).to_value("deg")) + 0.01
    wider = Footprint(footprint.ra_deg, footprint.dec_deg, min(footprint.radius_deg + radius, 179))
    return bool(wider.contains(np.array([centre.ra.deg]), np.array([centre.dec.deg]))[0])


def _stars(
    block: Block, names: Mapping[str, str], config: GaiaXpConfig, footprint: Footprint | None
) -> Columns:
    """Return one block's stars in the vocabulary of the framework."""

    def number(name: str) -> FloatArray:
        return block.numbers(names[name])

    ra, dec, bp_mag = number("ra"), number("dec"), number("phot_bp_mean_mag")
    keep = np.isfinite(ra) & np.isfinite(dec) & np.isfinite(bp_mag)
    ra = np.where(np.abs(ra - 180) <= 360, ra % 360, ra)  # they may count on beyond 0 and 360
    _check_range(ra[keep], dec[keep], block.label)
    if "has_xp_continuous" in names:
        keep &= np.asarray(block.flags(names["has_xp_continuous"]).fill_null(False))
    if footprint is not None and keep.any():
        inside = footprint.contains(ra[keep], dec[keep])
        if not inside.any():
            _check_other_units(ra[keep], dec[keep], footprint, block.label)
        keep[keep] = inside
    epoch = number("ref_epoch") if "ref_epoch" in names else np.full(len(block), np.nan)
    epoch = np.nan_to_num(epoch, nan=config.ref_epoch)
    # NaN where the ratio is missing or not positive.
    flux_over_error = number("phot_bp_mean_flux_over_error")
    ratio = np.where(flux_over_error > 0, flux_over_error, np.nan)
    error = np.asarray(MAG_PER_RELATIVE_FLUX / ratio)
    columns: Columns = {
        "source_id": block.identifiers(names["source_id"]),
        "ref_ra": ra,
        "ref_dec": dec,
        "ref_epoch": epoch,
        "pmra": np.nan_to_num(number("pmra")),
        "pmdec": np.nan_to_num(number("pmdec")),
        "reference_mag": bp_mag,
        "reference_mag_err": error,
        **{own: number(name) for name, own in COPIED.items()},
    }
    return {name: values[keep] for name, values in columns.items()}


def _check_range(ra: FloatArray, dec: FloatArray, label: str) -> None:
    if len(ra) and not (ra.min() >= 0 and ra.max() <= 360 and abs(dec).max() <= 90):
        raise DataError(
            f"{label}: positions are no degrees: ra from {ra.min():g} to {ra.max():g},"
            f" dec from {dec.min():g} to {dec.max():g}"
        )


def _check_other_units(ra: FloatArray, dec: FloatArray, footprint: Footprint, label: str) -> None:
    """Refuse positions that miss the footprint but would fill it in another unit."""
    in_radians = ra.max() <= 2 * np.pi and abs(dec).max() <= np.pi / 2
    for unit, possible, ra_deg, dec_deg in (
        ("radians", in_radians, np.rad2deg(ra) % 360, np.rad2deg(dec)),
        ("hours", ra.max() <= 24, 15 * ra, dec),
    ):
        if possible and footprint.contains(ra_deg, np.clip(dec_deg, -90, 90)).mean() > SUSPICIOUS:
            raise DataError(
                f"{label}: column ra is in {unit}, not degrees: read so, the stars lie"
                " where the catalogues are"
            )


def _joined(blocks: list[Columns]) -> Columns:
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _empty(config: GaiaXpConfig) -> Columns:
    none: FloatArray = np.empty(0)
    empty = dict.fromkeys((*REFERENCE_REQUIRED, *COPIED.values()), none)
    return {**empty, "source_id": np.empty(0, dtype=np.int64)}


def fetched(config: GaiaXpConfig) -> dict[str, str]:
    """Return what archives have of it, and the patterns of the files."""
    return {"sources": config.sources, "spectra": config.spectra}


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
    fetched=fetched,
)


@hookimpl
def scrframe_reference_catalogues() -> Iterable[ReferenceCatalogue]:
    """Yield the Gaia XP catalogue."""
    yield GAIA_XP
