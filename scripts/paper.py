#!/usr/bin/env python
"""The paper's numbers beside this program's, on a survey drawn to the paper's own description.

    make paper FIELDS=field_coordinates.csv
    python scripts/paper.py --centres field_coordinates.csv

Simulates a survey of so many fields, CCDs, calibration and control stars as the paper has, with
its selection; calibrates it in both modes; writes paper.json, and from it the page paper.md and
its figures. What is there is kept, and gone on from: the survey, each run, and what a run that
was stopped had done; to begin anew remove the folder that is said. `--fields 40` makes a small
survey of the same densities.

Without a table of centres fields lie along the Galactic plane, as those of the survey do. Of a
table those that reach into the control region are taken, and further ones in columns: ordered by
Galactic longitude they are cut into runs of neighbours, and runs are taken evenly.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import DESCRIPTION, PAPER, ROOT, measure
from paper_measure import measured
from paper_page import draw, page

from scrframe.config import SimulationSettings, load_survey
from scrframe.plugin import load_registry
from scrframe.report.merit import PAPER_CALIBRATION_STARS, PAPER_CONTROL_STARS
from scrframe.run.data import read_centres
from scrframe.run.plugins import resolve_plugins
from scrframe.run.workers import default_workers
from scrframe.simulate.cache import cache_folder
from scrframe.simulate.detections import DEFECT_CCD
from scrframe.simulate.layout import Layout, in_control_region, plan
from scrframe.simulate.stars import CONTROL_E
from scrframe.spectra.xp_operator import BASES, load_operator
from scrframe.statistics.sky import to_sky
from scrframe.tables import Camera

#: Fields of two visits each: the paper has 1,544 catalogues.
FIELDS = 772
#: Control fields where they are drawn: so many of the real survey have their centres there.
CONTROL_FIELDS = 12
#: Fields of a run of neighbours, which are taken or left together.
COLUMN = 12
#: Detections of calibration stars by visit, for a star with a spectrum per square degree.
YIELD_DEG2 = 0.805
#: The paper's ways where the description has others (docs/explanation/method.md).
SEQUENTIAL = (
    *PAPER,
    "colour_model.kind=random_forest",
    "colour_model.trend=none",
    "colour_model.cross_fit=false",
    "reddening.visit_constants=false",
    "extinction.regress=false",
)
WAYS = {"joint": (), "sequential": SEQUENTIAL}
#: Fields of the survey for what needs runs of its own, and realisations of its Monte Carlo.
ASIDE_FIELDS, REALISATIONS = 40, 3
EXPLANATION = ROOT / "docs" / "explanation"
SCRFRAME = os.fspath(Path(sys.executable).parent / "scrframe")
APOGEE = DESCRIPTION.with_name("vphas_u_apogee.yaml")


def main() -> None:
    """Simulate, calibrate, measure, and write the page, as far as it is not done."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--centres", type=Path, help="table of fields, with columns ra and dec")
    parser.add_argument("--fields", type=int, default=FIELDS, help="of two visits each")
    parser.add_argument("--keep", type=Path, help="folder of survey and runs; default: the cache")
    parser.add_argument("--out", type=Path, default=EXPLANATION, help="of paper.json and paper.md")
    parser.add_argument("--figures", type=Path, default=ROOT / "docs" / "figures")
    aside = "leave out what needs runs of its own: Monte Carlo, stellar parameters"
    parser.add_argument("--no-aside", action="store_true", help=aside)
    parser.add_argument("--page-only", action="store_true", help="from paper.json as it is")
    options = parser.parse_args()
    if not options.page_only:
        keep = options.keep or cache_folder() / "paper"
        made = figures_of(options.centres, options.fields, keep, not options.no_aside)
        found = json.dumps(_finite(made), indent=1)
        (options.out / "paper.json").write_text(found + "\n", encoding="utf-8")
    write_page(options.out, options.figures)


def write_page(folder: Path, figures: Path) -> None:
    """Write the page of a folder, and its figures, from the figures of paper.json."""
    found = json.loads((folder / "paper.json").read_text(encoding="utf-8"))
    path = folder / "paper.md"
    path.write_text(page(found, path.read_text(encoding="utf-8")), encoding="utf-8")
    draw(found, figures)


def place_of(drawn: dict[str, Any], keep: Path) -> Path:
    """Return the folder of a survey and its runs, by what the survey is."""
    name = hashlib.sha256(json.dumps(drawn, sort_keys=True).encode()).hexdigest()[:8]
    folder = keep / f"{drawn['fields']}_fields_{name}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def figures_of(centres: Path | None, fields: int, keep: Path, aside: bool) -> dict[str, Any]:
    """Simulate and calibrate what is missing, and return all figures of the page."""
    drawn = design(centres, fields)
    folder = place_of(drawn, keep)
    _say(f"survey and runs are kept in {folder}")
    tree = simulated(drawn, folder)
    modes = {name: measured(calibrated(name, tree, folder), tree) for name in WAYS}
    if aside:
        small = design(centres, min(fields, ASIDE_FIELDS))
        for mode, found in aside_figures(small, place_of(small, keep)).items():
            modes[mode]["figures"] |= found
    cost = json.loads((folder / "tree_cost.json").read_text(encoding="utf-8"))
    survey = {
        "fields": fields,
        "fields_of_paper": FIELDS,
        "layout": "along the Galactic plane"
        if centres is None
        else f"real ones, of {centres.name}",
        "density": (
            f"Stars with spectra are {drawn['density']:,.0f} a square degree, and"
            f" {drawn['control_density']:,.0f} in the {drawn['controls']} control fields, such that"
            f" {FIELDS:,} fields have the paper's numbers."
        ),
        "given": given(tree, modes["joint"]["figures"]),
        "processors": default_workers(),
        "cost": cost,
    }
    return {"survey": survey, "modes": modes}


def design(centres: Path | None, fields: int) -> dict[str, Any]:
    """Return fields and densities that give the paper's samples in its 772 fields."""
    survey = load_survey(DESCRIPTION)
    plugins = resolve_plugins(survey, load_registry())
    camera = plugins.loader.camera_for(survey.loader.settings)
    rng = np.random.default_rng(1)
    if centres is None:
        whole = plan(SimulationSettings(fields=FIELDS, control_fields=CONTROL_FIELDS), camera, rng)
        controls = max(1, min(CONTROL_FIELDS, fields // 3))
        chosen = None
    else:
        every = plan(SimulationSettings(centres=read_centres(centres)), camera, rng)
        place = choose(every, FIELDS)
        whole = plan(SimulationSettings(centres=_written(every, place)), camera, rng)
        place = choose(every, fields)
        controls = int(every.control[place].sum())
        chosen = [[float(every.ra_deg[one]), float(every.dec_deg[one])] for one in place]
    inside = covered(whole, camera)
    control_density = PAPER_CONTROL_STARS / (YIELD_DEG2 * inside)
    visits = 2 * int(whole.control.sum())
    others = PAPER_CALIBRATION_STARS - YIELD_DEG2 * control_density * visits
    density = others / (YIELD_DEG2 * (2 * FIELDS - visits))
    return {
        "fields": fields,
        "centres": chosen,
        "controls": controls,
        "density": round(density, 1),
        "control_density": round(control_density, 1),
    }


def choose(every: Layout, number: int) -> list[int]:
    """Return which fields of a list are taken: those of the control region, then whole columns."""
    control = np.flatnonzero(every.control)[: max(1, number // 3)]
    # The survey begins west of the anticentre, and has no field opposite the Galactic centre.
    along = np.mod(every.galactic_l - 180, 360)
    others = np.flatnonzero(~every.control)
    others = others[np.argsort(along[others], kind="stable")]
    wanted, columns = number - len(control), math.ceil(len(others) / COLUMN)
    if wanted > len(others):
        raise SystemExit(f"the table holds {len(every.name):,} fields, not {number:,}")
    taken = math.ceil(wanted / COLUMN)
    while True:
        starts = {column * columns // taken * COLUMN for column in range(taken)}
        found = [place for start in sorted(starts) for place in others[start : start + COLUMN]]
        if len(found) >= wanted:
            return [*control.tolist(), *map(int, found[:wanted])]
        taken += 1


def covered(layout: Layout, camera: Camera) -> float:
    """Return how many visits' worth of sky lies in the control region."""
    wide, high = camera.half_extent()
    xi, eta = ((np.arange(40) + 0.5) / 20 * half - half for half in (wide, high))
    grid = [axis.ravel() for axis in np.meshgrid(xi, eta)]
    share = 0.0
    for visit in np.flatnonzero(layout.control[layout.visit_field]):
        centre = float(layout.visit_ra_deg[visit]), float(layout.visit_dec_deg[visit])
        ra, dec = to_sky(*grid, *centre)
        share += float(in_control_region(None, ra, dec).mean())
    return share


def aside_figures(drawn: dict[str, Any], folder: Path) -> dict[str, dict[str, Any]]:
    """Return figures by mode that need runs of their own, on a small survey drawn alike.

    The errors of model magnitudes by Monte Carlo (Sec. 4.3), and how visits by stellar parameters
    differ from those by spectra.
    """
    tree = simulated(drawn, folder)
    found: dict[str, dict[str, Any]] = {}
    for mode, ways in WAYS.items():
        out = folder / f"montecarlo_{mode}"
        command = [SCRFRAME, "montecarlo", os.fspath(DESCRIPTION), "--data", os.fspath(tree)]
        command += ["--out", os.fspath(out), "--realisations", str(REALISATIONS), *_set(ways)]
        _done(command, out / "montecarlo.json")
        sets = json.loads((out / "montecarlo.json").read_text(encoding="utf-8"))["sets"]
        found[mode] = {
            f"montecarlo_{name}_mag": sets[name]["difference"]["gaussian_sigma_mag"]
            for name in ("median", "high")
        }
    run, apogee, out = calibrated("joint", tree, folder), folder / "apogee", folder / "crosscheck"
    other = simulated(drawn, folder, APOGEE, "apogee_tree")
    command = [SCRFRAME, "calibrate", os.fspath(APOGEE), "--data", os.fspath(other)]
    command += ["--out", os.fspath(apogee), "--no-report", *_set(("writers=[]",))]
    _done(command, apogee / "summary.json")
    command = [SCRFRAME, "crosscheck", os.fspath(run), os.fspath(apogee), "--out", os.fspath(out)]
    _done(command, out / "crosscheck.json")
    counts = json.loads((apogee / "summary.json").read_text(encoding="utf-8"))["counts"]
    visit = json.loads((out / "crosscheck.json").read_text(encoding="utf-8"))["visit"]
    found["joint"] |= {
        "apogee_calibration": counts["calibration"]["stars"],
        "apogee_control": counts["control"]["stars"],
        "apogee_sd_mag": visit["sd_mag"],
    }
    return found


def _set(changes: tuple[str, ...]) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


def _done(command: list[str], result: Path) -> None:
    """Run a command if its result is not there; its output goes beside the folder of it."""
    if not result.exists():
        _say(" ".join(command[1:3]) + f" into {result.parent}")
        measure(command, result.parent.with_suffix(".log"))


def simulated(
    drawn: dict[str, Any], folder: Path, description: Path = DESCRIPTION, name: str = "tree"
) -> Path:
    """Return the survey, made if it is not there."""
    tree = folder / name
    if tree.exists():
        return tree
    command = [SCRFRAME, "simulate", os.fspath(description), "--out", os.fspath(tree)]
    command += ["--density", str(drawn["density"]), "--fields", str(drawn["fields"])]
    command += ["--set", f"simulation.control_density={drawn['control_density']}"]
    if drawn["centres"] is None:
        command += ["--set", f"simulation.control_fields={drawn['controls']}"]
    else:
        table = folder / "centres.csv"
        with table.open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([["ra", "dec"], *drawn["centres"]])
        command += ["--centres", os.fspath(table)]
    _say(f"simulating {drawn['fields']:,} fields into {tree}")
    seconds, memory = measure(command, folder / f"{name}.log")
    cost = json.dumps({"seconds": seconds, "peak_memory_mb": memory})
    (folder / f"{name}_cost.json").write_text(cost, encoding="utf-8")
    return tree


def calibrated(mode: str, tree: Path, folder: Path) -> Path:
    """Return a run in one of the modes, made if it is not there."""
    run = folder / mode
    command = [SCRFRAME, "calibrate", os.fspath(DESCRIPTION), "--data", os.fspath(tree)]
    command += ["--out", os.fspath(run), "--no-report", *_set(("writers=[]", *WAYS[mode]))]
    _done(command, run / "summary.json")
    return run


def given(tree: Path, figures: dict[str, Any]) -> dict[str, Any]:
    """Return what survey and method are, as the descriptions and the simulation have it."""
    survey, apogee = load_survey(DESCRIPTION), load_survey(APOGEE)
    settings = json.loads((tree / "simulation.json").read_text(encoding="utf-8"))["settings"]
    grid = load_operator("paper").wavelength_nm
    camera = resolve_plugins(survey, load_registry()).loader.camera_for(survey.loader.settings)
    usual, high = survey.montecarlo.median, survey.montecarlo.high
    level = next(each for each in survey.offsets.levels if each.kind == "bin")
    facts = {
        "catalogues": f"{figures['catalogues']:,}",
        "ccds": len(camera.ccd),
        "rows_each": f"{figures['rows'] / figures['catalogues']:,.0f} on average",
        "astrometry": f"{settings['astrometric_error_mas']:g} mas",
        "bases": f"{BASES} and {2 * BASES}",
        "grid": f"{grid[0]:g} to {grid[-1]:g} nm, step {grid[1] - grid[0]:g} nm",
        "match_radius": f"{survey.reference.match_radius:g} arcsec",
        "control_extinction": f"E does not exceed {sum(CONTROL_E):g} in control fields",
        "test_fraction": f"{survey.colour_model.test_fraction:.0%} for testing",
        "max_rounds": survey.reddening.max_rounds,
        "bin_size": f"{level.settings.size:g} pixels (in mode sequential)",
        "defect": f"CCD {DEFECT_CCD} has one",
        "min_stars": f"{survey.offsets.min_stars} (in mode sequential)",
        "zero_point": _cuts(survey.zero_point),
        "errors_median": _errors(usual),
        "errors_high": _errors(high),
        "realisations": survey.montecarlo.realisations,
        "apogee_cuts": _cuts(apogee.selection.calibration, ("snr", "teff", "logg", "feh")),
        "apogee_control": _cuts(apogee.selection.control),
    }
    for cuts in (survey.selection.calibration, survey.selection.control):
        for cut in cuts:
            name = str(cut).split()[0]
            facts[name] = f"{facts[name]}, `{cut}`" if name in facts else f"`{cut}`"
    return facts


def _cuts(cuts: Any, names: tuple[str, ...] = ()) -> str:
    return ", ".join(f"`{cut}`" for cut in cuts if not names or str(cut).split()[0] in names)


def _errors(errors: Any) -> str:
    told = errors.model_dump()
    return ", ".join(f"{name} {value}" for name, value in told.items())


def _written(layout: Layout, places: list[int]) -> list[tuple[str, str]]:
    return [(f"{layout.ra_deg[one]} deg", f"{layout.dec_deg[one]} deg") for one in places]


def _finite(value: Any) -> Any:
    """Return figures as JSON can hold them: what is not finite is null."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
