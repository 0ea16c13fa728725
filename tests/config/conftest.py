"""A description that is right, and a way to load texts with the fake plugins."""

from pathlib import Path

import pytest
from fake_plugins import fake_registry

from scrframe.config import load_survey

MINIMAL = """\
name: demo
band: u
loader: {kind: tiles, tiles: {aperture: 3}}
reference:
  kind: stars
  match_radius: 1 arcsec
extinction: {values: {kind: dust}, curve: {kind: dust}}
selection:
  calibration:
    - classification == -1
    - mag > 12
  control: ["gal_b > 3.5"]
colour_model: {kind: forest}
offsets:
  min_stars: 20
  levels:
    - {name: visit, kind: group, by: [visit]}
    - {name: pixel, kind: bin, by: [ccd], size: 256 pix}
"""


@pytest.fixture(scope="session")
def registry():
    return fake_registry()


@pytest.fixture
def minimal():
    return MINIMAL


@pytest.fixture
def load(tmp_path, monkeypatch, registry):
    """Return a function that loads YAML text as ``s.yaml`` in the working directory."""
    monkeypatch.chdir(tmp_path)

    def load_text(text=MINIMAL, *overrides, **environ):
        content = text if isinstance(text, bytes) else text.encode()
        Path("s.yaml").write_bytes(content)
        return load_survey("s.yaml", overrides=overrides, registry=registry, environ=environ)

    return load_text
