"""What is simulated in a layout is what its description reads back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from scrframe.builtin.survey_loaders.table import loader, simulate
from scrframe.builtin.survey_loaders.table.plugin import camera, example, tiny_visit
from scrframe.builtin.survey_loaders.table.settings import TableConfig
from scrframe.config.document import parse_yaml
from scrframe.errors import PluginError
from scrframe.tables import Detections

CAMERA = {"pixels": [1000, 800], "pixel_scale": "0.5 arcsec", "rows": [[1, 2], [3, None]]}
PAGE = Path(__file__).parents[4] / "docs" / "how-to" / "add-a-survey.md"


def documented():
    text = PAGE.read_text(encoding="utf-8").split("```yaml\n", 1)[1].split("```")[0]
    return parse_yaml(text, PAGE.name, {}).data["loader"]["table"]


MAG = {"column": "flux", "unit": "nJy"}
ERR = {"column": "err", "unit": "nJy"}
LAYOUTS = {
    "the page's": documented(),
    "plain names": {"files": "cat/*.csv.gz"},
    "one file of all visits": {"files": "all.parquet", "columns": {"mag": MAG, "mag_err": ERR}},
    "one FITS file": {"files": "deep/all.fits", "missing": [-99.0]},
    "a directory": {"files": "cat/", "format": "ecsv"},
    "any file": {"files": "cat/*"},
    "VOTable": {"files": "cat/**/*.vot", "columns": {"mag": {"column": "m", "unit": "mmag"}}},
    "counts": {
        "files": "*.fits.gz",
        "columns": {"mag": {"column": "n", "zero_point": 27.5}, "mag_err": "dn"},
    },
    "detectors by extension": {
        "files": "*.fits",
        "hdu": "all",
        "columns": {
            "ccd": {"keyword": "CCDNUM"},
            "visit": {"keyword": "EXPNUM"},
            "mjd": {"keyword": "MJD-OBS"},
        },
    },
    "detectors by number": {
        "files": "*.fits",
        "hdu": "all",
        "columns": {"ccd": {"extension": True}},
    },
    "LDAC of a mosaic": {
        "files": "*.cat",
        "format": "ldac",
        "columns": {
            "ccd": {"keyword": "CCDNUM"},
            "visit": {"keyword": "EXPNUM"},
            "mjd": {"keyword": "MJD-OBS"},
        },
    },
    "named extension": {"files": "*.fits", "hdu": "LDAC", "columns": {"ra": "ALPHA"}},
    "numbered extension": {"files": "*.fits", "hdu": 3},
    "keys and codes": {
        "files": "cat/*.parquet",
        "columns": {
            "visit": {"template": "{run}-{field}"},
            "ccd": {"column": "chip", "codes": {"N1": 1, "N2": 2, "S1": 3}},
            "field": {"tile": ["ra0", "dec0"], "size": "2 deg"},
            "mjd": {"column": "date", "unit": "iso"},
            "x": {"expression": "2 * cx - 1"},
            "mag": {"expression": "counts / exptime", "zero_point": "zp"},
            "mag_err": {"column": "e", "unit": "mmag"},
            "exposure_time": "exptime",
        },
        "join": [
            {"files": "f/runs.csv", "on": ["run", "field"], "columns": ["date", "ra0", "dec0"]},
            {"files": "ccds/*.fits", "on": ["run", "field", "chip"], "columns": {"zp": "zero"}},
        ],
        "flags": [
            {"column": "q", "bits": [1, 40]},
            {"column": "q", "bits": [28], "good": True},
            {"column": "primary", "good": True},
            "bad",
        ],
        "rows": ["band == 'v'", "not parent", "0.5 < prob and kind != 3", "ndet >= 2"],
        "simulated": {
            "band": "v",
            "parent": False,
            "prob": {"star": 0.75, "other": 0.6},
            "kind": 1,
            "ndet": 2,
        },
    },
}


def settings(name):
    keys = LAYOUTS[name]
    return TableConfig.model_validate({"camera": CAMERA, **keys})


def simulated(config, root):
    visits = [tiny_visit(camera(config), number) for number in (1, 2, 3)]
    files = [simulate.write_simulated(visit, root, config) for visit in visits]
    simulate.close_simulated(root, config)
    return visits, files


@pytest.mark.parametrize("name", LAYOUTS)
def test_reads_back_what_is_simulated(name, tmp_path):
    config = settings(name)
    visits, files = simulated(config, tmp_path)
    assert not list(tmp_path.glob(".*")) and all(file.is_file() for file in files)
    parts = loader.parts(config, tmp_path)
    for part in parts:
        loader.check(part, config)
    found = Detections.concat([loader.read(part, config) for part in parts])
    wanted = {
        key: np.concatenate([visit.detections[key].to_numpy() for visit in visits])
        for key in ("ccd", "x", "y", "ra", "dec", "mag", "mag_err")
    }
    for key, values in wanted.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-9, atol=1e-9, err_msg=key)
    sizes = [visit.detections.num_rows for visit in visits]
    np.testing.assert_allclose(found["mjd"], np.repeat([v.mjd for v in visits], sizes), atol=1e-9)
    codes, labels = found.codes("visit")
    assert len(np.unique(codes)) == 3
    assert [labels[code] for code in codes[np.cumsum(sizes) - 1]] == [
        labels[code] for code in codes[np.cumsum(sizes) - sizes]
    ]
    assert found["usable"].all()


def test_detections_without_a_magnitude(tmp_path):
    for number, keys in enumerate(({"missing": [-99.0]}, {}, {"columns": {"mag": MAG}})):
        config = TableConfig.model_validate({"files": f"{number}/*", "camera": CAMERA, **keys})
        visit = tiny_visit(camera(config), 1)
        mag = visit.detections["mag"].to_numpy().copy()
        mag[::4] = np.nan
        table = visit.detections.set_column(5, "mag", [mag])
        file = simulate.write_simulated(
            type(visit)(**{**vars(visit), "detections": table}), tmp_path, config
        )
        (part,) = loader.parts(config, tmp_path)
        np.testing.assert_allclose(loader.read(part, config)["mag"], mag)
        if keys.get("missing"):
            assert (pq.read_table(file)["mag"].to_numpy()[::4] == -99.0).all()


def test_stars_and_others_in_columns_of_its_own(tmp_path):
    config = TableConfig.model_validate(
        {
            "files": "*.csv",
            "camera": CAMERA,
            "columns": {
                "prob": {"column": "p", "simulated": {"star": 0.9, "other": 0.1}},
                "kind": {"column": "k", "dtype": "label", "simulated": "S"},
            },
        }
    )
    visit = tiny_visit(camera(config), 1)
    classes = np.resize([-1, 1, -2, 0], visit.detections.num_rows)
    table = visit.detections.set_column(7, "classification", [classes])
    simulate.write_simulated(type(visit)(**{**vars(visit), "detections": table}), tmp_path, config)
    (part,) = loader.parts(config, tmp_path)
    found = loader.read(part, config)
    np.testing.assert_array_equal(found["prob"], np.where(classes < 0, 0.9, 0.1))
    assert set(found["kind"]) == {"S"}


REFUSED = {
    "is not linear in b": ({"columns": {"y": {"expression": "b ** 2"}}}, "columns.y.expression"),
    'column "c", which "b . c" needs, has no simulated value': (
        {"columns": {"y": {"expression": "b + c"}}},
        "columns.y.expression",
    ),
    'column "a" would have to hold y and something else': (
        {"columns": {"x": "a", "y": "a"}},
        "columns.y",
    ),
    'column "b", which the cut "a > b" needs, has no simulated value': (
        {"rows": ["mag < 99", "a > b"], "simulated": {"a": 1}},
        "rows.1",
    ),
    'no simulated detection passes the cut "a > b"': (
        {"rows": ["a > b"], "simulated": {"a": 1, "b": 1}},
        "rows.0",
    ),
    'no key .* uses column "free"': (
        {"simulated": {"free": "x"}},
        "simulated.free",
    ),
    "no code of ccd stands for 1": (
        {"columns": {"ccd": {"column": "c", "codes": {"S": 9}}}},
        "columns.ccd.codes",
    ),
    "it has codes, but no simulated value": (
        {"columns": {"kind": {"column": "k", "codes": {"S": 1, "G": 0}}}},
        "columns.kind",
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_mappings_that_cannot_be_turned_round(message, tmp_path):
    keys, place = REFUSED[message]
    config = TableConfig.model_validate({"camera": CAMERA, **keys})
    with pytest.raises(PluginError, match=message) as caught:
        simulate.write_simulated(tiny_visit(camera(config), 1), tmp_path, config)
    assert ".".join(map(str, caught.value.key)) == place


def test_values_of_the_description_come_first(tmp_path):
    config = TableConfig.model_validate(
        {
            "files": "*.csv",
            "camera": CAMERA,
            "columns": {
                "y": {"expression": "(b + c) / d"},
                "mag": {"column": "m", "zero_point": "zp"},
            },
            "flags": ["bad", {"column": "q", "bits": [1]}],
            "simulated": {"c": 2.0, "d": {"star": 4.0, "other": 0.5}, "zp": 26.5, "q": 4},
        }
    )
    visit = tiny_visit(camera(config), 1)
    file = simulate.write_simulated(visit, tmp_path, config)
    table = csv.read_csv(file)
    assert set(table["c"].to_pylist()) == {2} and set(table["d"].to_pylist()) == {4}
    assert set(table["q"].to_pylist()) == {4} and set(table["bad"].to_pylist()) == {False}
    (part,) = loader.parts(config, tmp_path)
    found = loader.read(part, config)
    for name in ("y", "mag", "mag_err"):
        np.testing.assert_allclose(found[name], visit.detections[name], rtol=1e-12)


def test_tables_to_join_with_several_values_of_a_key(tmp_path):
    config = TableConfig.model_validate(
        {"camera": CAMERA, "join": [{"files": "o.csv", "on": ["visit"], "columns": ["x"]}]}
    )
    simulate.write_simulated(tiny_visit(camera(config), 1), tmp_path, config)
    with pytest.raises(PluginError, match=r"o\.csv would need several rows"):
        simulate.close_simulated(tmp_path, config)


def test_camera():
    layout = camera(settings("plain names"))
    assert layout is not None
    assert layout.ccd.tolist() == [1, 2, 3]
    # Rows run from north to south and are centred; the third is alone in the east.
    step = np.array([1000, 800]) * 0.5 / 3600
    np.testing.assert_allclose(layout.xi_deg, np.array([0.5, -0.5, 0.5]) * step[0])
    np.testing.assert_allclose(layout.eta_deg, np.array([0.5, 0.5, -0.5]) * step[1])
    single = {"ccd": 4, "east": "6 arcmin", "north": "-0.2 deg"}
    by_hand = {**CAMERA, "rows": [], "detectors": [single], "x_runs": "east"}
    other = camera(TableConfig.model_validate({"camera": by_hand}))
    assert other is not None
    assert (other.ccd[0], other.xi_deg[0], other.eta_deg[0]) == (4, 0.1, -0.2)
    assert (other.x_sign, other.y_sign) == (1, 1)


def test_example_can_be_read(tmp_path):
    config = example(tmp_path)
    parts = loader.parts(config, tmp_path)
    assert [len(loader.read(part, config)) for part in parts] == [20, 20]
