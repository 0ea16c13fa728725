"""The page on the paper's numbers is made by its script, and the script measures what it says."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "explanation"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import paper
    import paper_measure
    import paper_page

    return SimpleNamespace(command=paper, measure=paper_measure, page=paper_page)


def test_the_page_is_made_by_the_script(scripts: SimpleNamespace) -> None:
    found = json.loads((FOLDER / "paper.json").read_text(encoding="utf-8"))
    text = (FOLDER / "paper.md").read_text(encoding="utf-8")
    assert scripts.page.page(found, text) == text
    typed = text.split(scripts.page.MARKS[0])[0].split("```text")[0]
    assert not set("0123456789") & set(typed)


def test_every_figure_of_the_table_is_measured_and_every_drawing_there(
    scripts: SimpleNamespace,
) -> None:
    found = json.loads((FOLDER / "paper.json").read_text(encoding="utf-8"))
    numbers = yaml.safe_load(scripts.page.NUMBERS.read_text(encoding="utf-8"))
    given = found["survey"]["given"]
    assert {one["ours"] for one in numbers["given"]} <= set(given)
    known = {*found["modes"]["sequential"]["figures"], "R_0", "R_1"}
    aside = {f"montecarlo_{one}_mag" for one in ("median", "high")}
    aside |= {f"apogee_{one}" for one in ("calibration", "control", "sd_mag")}
    assert {one["ours"] for one in numbers["results"]} <= known | aside
    for one in numbers["figures"]:
        assert (ROOT / "docs" / "figures" / f"{one['name']}.png").is_file()


def test_errors_are_those_put_in(scripts: SimpleNamespace, tmp_path: Path) -> None:
    # Visits are off by 3 and -3, CCDs by 2 and -2 within them, a constant is free.
    visit, ccd, row = (axis.ravel() for axis in np.mgrid[0:2, 1:3, 0:64])
    number = len(row)
    wrong = 0.003 * (1 - 2 * visit) + 0.002 * (3 - 2 * ccd)
    truth = {name: np.zeros(number) for name in ("visit", "ccd", "pixel", "total")}
    keys = {"file": [f"v{one}.fits" for one in visit], "ccd": ccd, "row": row}
    injected = {f"offset_{name}": values for name, values in truth.items()}
    _write(tmp_path / "truth.parquet", {**keys, **injected}, np.arange(number)[::-1])
    rng = np.random.default_rng(1)
    star = np.tile(np.arange(number // 2), 2)
    mag = 16 + rng.normal(0, 0.1, number // 2)[star]
    stars = {
        **keys,
        "source_id": star,
        "visit": keys["file"],
        "mjd": 56000.0 + visit,
        "x_pix": 100.0 + row,
        "y_pix": 100.0 + row,
        "mag_obs": mag,
        "mag_err": np.full(number, 0.01),
        "mag_model": mag,
        "delta": np.zeros(number),
        "mag_cal": mag + wrong,
        "offset_visit": 0.003 * (1 - 2 * visit),
        "offset_ccd": 0.002 * (3 - 2 * ccd),
        "offset_pixel": np.zeros(number),
        "offset_total": wrong + 0.5,
        "colour": np.full(number, 1.5),
        "extinction": np.full(number, 0.5),
    }
    _write(tmp_path / "stars.parquet", stars, np.arange(number))
    read = scripts.measure.Detections(tmp_path, tmp_path)
    found = scripts.measure._errors(read)
    assert found["error_visit_mag"] == pytest.approx(0.003, abs=1e-12)
    assert found["error_ccd_mag"] == pytest.approx(0.002, abs=1e-12)
    assert found["error_total_mag"] == pytest.approx(np.hypot(0.003, 0.002), abs=1e-12)
    assert found["error_pixel_mag"] == pytest.approx(0, abs=1e-12)
    # Both visits see each star, off by 6 from one another.
    assert scripts.measure._repeats(read)["repeats"] == number // 2
    levels = dict(read.levels())
    np.testing.assert_allclose(levels["visit"]["fit"], [0.003, -0.003], atol=1e-15)


def _write(path: Path, columns: dict[str, Any], order: np.ndarray) -> None:
    pq.write_table(pa.table(columns).take(pa.array(order)), path)


def test_fields_are_taken_by_columns_after_those_of_the_control_region(
    scripts: SimpleNamespace,
) -> None:
    along, across = (axis.ravel() for axis in np.mgrid[0:200, 0:12])
    every = SimpleNamespace(
        name=[str(one) for one in range(2400)],
        control=np.arange(2400) < 10,
        galactic_l=np.mod(200.0 + along + across / 100, 360),
    )
    for number in (40, 772):
        found = scripts.command.choose(every, number)
        assert len(set(found)) == len(found) == number
        assert found[:10] == list(range(10))
        reach = np.mod(every.galactic_l[found] - 180, 360)
        # From end to end of the survey, and whole columns but for the first and the last.
        assert reach.min() < 22
        assert np.ptp(reach) > (180 if number == 772 else 100)


def test_the_samples_of_the_design_are_the_papers(scripts: SimpleNamespace) -> None:
    drawn = scripts.command.design(None, 772)
    controls, rest = 2 * drawn["controls"], 2 * (772 - drawn["controls"])
    in_control = scripts.command.YIELD_DEG2 * controls * drawn["control_density"]
    in_all = in_control + scripts.command.YIELD_DEG2 * rest * drawn["density"]
    assert in_control == pytest.approx(18_002, rel=1e-3)
    assert in_all == pytest.approx(2_974_582, rel=1e-3)
