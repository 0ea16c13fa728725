"""The plugin as scrframe finds it, and a corrected catalogue from end to end."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from scrframe_vphas.layout import COLUMN_NAMES

from scrframe.plugin import SurveyLoader, Writer, load_registry
from scrframe.tables import Corrections


@pytest.fixture(scope="module")
def loader() -> SurveyLoader:
    return load_registry().get(SurveyLoader, "vphas_casu")


def test_found_through_its_entry_point(loader: SurveyLoader) -> None:
    provider = load_registry().provider(SurveyLoader, "vphas_casu")
    assert provider.distribution == "scrframe-vphas"
    for function in (loader.parts, loader.read, loader.check, loader.write_simulated):
        assert pickle.loads(pickle.dumps(function)) is function
    assert pickle.loads(pickle.dumps(loader.config())) == loader.config()


def test_example_can_be_read(loader: SurveyLoader, tmp_path: Path) -> None:
    assert loader.example is not None
    assert loader.check is not None
    config = loader.example(tmp_path)
    parts = loader.parts(config, tmp_path)
    assert len(parts) == 2
    for part in parts:
        loader.check(part, config)
        detections = loader.read(part, config, None)
        assert len(detections) == 320
        assert len(set(detections["visit"])) == 1


def test_corrected_catalogue_keeps_every_original_byte(
    loader: SurveyLoader, root: Path, catalogue: Path, tmp_path: Path
) -> None:
    writer = load_registry().get(Writer, "fits_catalogue")
    config = loader.config(ccds=4)
    (part,) = loader.parts(config, root)
    detections = loader.read(part, config, [])
    generator = np.random.default_rng(2)
    levels = {name: generator.normal(0, 0.05, 40) for name in ("visit", "ccd", "pixel")}
    total = sum(levels.values()) + 0.013
    corrections = Corrections(levels, total, np.zeros(40, dtype=np.int32))
    (path,) = writer.write(
        part, detections, corrections, root, tmp_path / "out", writer.config(), ""
    )
    assert path == tmp_path / "out" / "catalogues" / catalogue.name
    with fits.open(path) as new, fits.open(catalogue) as old:
        new.verify("exception")
        at = 0
        for after, before in zip(new[1:], old[1:], strict=True):
            rows = after.data.view(np.ndarray)
            original = rows[list(COLUMN_NAMES)].astype(before.data.view(np.ndarray).dtype)
            assert original.tobytes() == before.data.view(np.ndarray).tobytes()
            here = slice(at, at + len(before.data))
            np.testing.assert_array_equal(after.data["MAG_OBS"], detections["mag"][here])
            np.testing.assert_array_equal(
                after.data["MAG_CAL"], detections["mag"][here] + total[here]
            )
            at += len(before.data)
    # What was written can be read again: the corrections do not disturb the loader.
    again = loader.read(loader.parts(config, tmp_path / "out")[0], config, [])
    np.testing.assert_array_equal(again["mag"], detections["mag"])
    assert set(again["visit"]) == set(detections["visit"])
