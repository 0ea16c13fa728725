"""The gallery shows what its script has drawn, with the figures' own words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from run_drawn import made_up_run

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "gallery.md"


def test_a_run_is_drawn_with_its_own_captions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "figures"))
    import make_gallery

    monkeypatch.setattr(make_gallery, "SHOWN", (16, 5))
    text = make_gallery.gallery(made_up_run(400, 6), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["footprint.png", "visit_sky.png"]
    assert "## Visit offsets on the sky (5)" in text
    assert "Offsets of 6 visits, corrections to be added" in text


def test_pictures_of_the_gallery_are_there() -> None:
    pictures = re.findall(r"\]\((\S+\.png)\)", PAGE.read_text(encoding="utf-8"))
    assert len(pictures) == len(set(pictures)) >= 5
    assert all((PAGE.parent / one).is_file() for one in pictures)
    assert {path.name for path in (ROOT / "docs/figures/gallery").iterdir()} == {
        Path(one).name for one in pictures
    }
