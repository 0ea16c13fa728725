"""A small survey in one table, described with every kind of term that varies over a detector."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import scrframe
from scrframe import load_combined

DESCRIPTION = """\
name: small
band: u
loader:
  kind: table
  table:
    files: "detections.parquet"
    columns:
      visit: image
      ccd: chip
      x: x_image
      y: y_image
      mjd: {column: start, unit: jd}
      mag: {column: flux, unit: nJy}
      mag_err: {column: flux_err, unit: nJy}
      airmass: airmass
      field: target
    camera: {rows: [[1, 2]], pixels: [400, 300], gaps: [1000 pix, 0 pix], pixel_scale: 3 arcsec}
reference: {kind: gaia_xp, match_radius: 1 arcsec}
extinction: {values: {kind: zgr23}, curve: {kind: zgr23}}
selection:
  calibration: [mag > 12, mag < 21.5, mag_err < 0.08, extinction_err < 0.02, xp_snr > 15]
  control: [gal_b > 3.5]
colour_model: {kind: ridge, trend: quadratic}
reddening: {order: 1, extinction_order: 0}
offsets:
  max_rounds: 2
  levels:
    - {name: visit, kind: group, by: [visit], sd: 60 mmag}
    - {name: chip, kind: group, by: [ccd], sd: 15 mmag}
    - {name: map, kind: polynomial, by: [ccd, season], order: 3, sd: 10 mmag}
    - {name: fine, kind: bin, by: [ccd], size: 100 pix, sd: 3 mmag}
    - {name: surface, kind: polynomial, over: focal_plane, by: [visit], order: 2, sd: 5 mmag}
  joint:
    max_rounds: 3
    systematics: {law: false, law_regions: false, reference_region: false, colour_model: false,
      extinction: false}
zero_point: [mag > 14, mag < 18]
writers: [{kind: table_catalogue}]
simulation: {fields: 3, density: 800, other_sources: 0.1, seed: 5, pixel_sd: 0.03}
report: {enabled: false}
"""
#: In mode sequential: visits, detectors in them, and bins.
SEQUENTIAL = (
    "offsets.mode=sequential",
    "offsets.min_stars=3",
    "offsets.levels=[{name: visit, kind: group, by: [visit]}, {name: ccd, kind: group,"
    " by: [visit, ccd]}, {name: pixel, kind: bin, by: [ccd], size: 100 pix}]",
)


@dataclass(frozen=True)
class SmallTables:
    """The survey's folder, and what calibrates it."""

    folder: Path

    @property
    def description(self) -> Path:
        return self.folder / "small.yaml"

    @property
    def table(self) -> Path:
        return self.folder / "tree" / "detections.parquet"

    def calibrate(self, out: Path, *changes: str) -> Path:
        survey = scrframe.load_survey(self.description, overrides=changes)
        return scrframe.calibrate(survey, data=self.folder / "tree", out=out, workers=1).path


def small_tables(folder: Path) -> SmallTables:
    """Write description and simulated table below a folder."""
    made = SmallTables(folder)
    made.description.write_text(DESCRIPTION, encoding="utf-8")
    scrframe.simulate_survey(scrframe.load_survey(made.description), folder / "tree")
    return made


#: The same in three bands, told apart by a column of the one table.
THREE_BANDS = DESCRIPTION.replace(
    "name: small\nband: u\n",
    """\
name: three
bands:
  u: {}
  v: {simulation.shared_scatter: 0.8}
  w: {simulation.shared_scatter: 0.8, simulation.visit_sd: 0.04}
""",
).replace(
    '    files: "detections.parquet"\n',
    '    files: "detections.parquet"\n    rows: ["filter == \'${band}\'"]\n'
    '    simulated: {filter: "${band}"}\n',
)


def three_bands(folder: Path) -> SmallTables:
    """Write description and table of three bands: the same stars, each band with own visits."""
    made = SmallTables(folder)
    made.description.write_text(THREE_BANDS, encoding="utf-8")
    tables = []
    for number, member in enumerate(load_combined(made.description).members):
        tree = folder / "tree" if number == 0 else folder / member.band
        scrframe.simulate_survey(member, tree)
        table = pq.read_table(tree / "detections.parquet")
        # Exposures have numbers of their own in every band.
        image = pc.add(table["image"], 100 * number)
        tables.append(table.set_column(table.column_names.index("image"), "image", image))
    pq.write_table(pa.concat_tables(tables), made.table)
    return made
