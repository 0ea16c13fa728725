"""Every block of code on the pages runs, or says on the page why it does not.

Pieces of descriptions (`yaml`) are validated in test_docs.py.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from code_blocks import (
    PAGES,
    ROOT,
    STAND_INS,
    Block,
    Reader,
    blocks_of,
    is_slow,
    marked,
    name_of,
    shrink,
)

#: `text` holds what is only looked at: layouts of folders, answers of commands.
RUN, LOOKED_AT = ("console", "python", "yaml"), ("text",)
QUICK = [page for page in PAGES if blocks_of(page) and not is_slow(page)]
TUTORIAL = ROOT / "docs" / "tutorial.md"
SLOW = [page for page in PAGES if is_slow(page)]
#: A run of the quick tests is not to wait for these.
whole = pytest.mark.skipif(
    "SCRFRAME_CLOSURE_SEEDS" not in os.environ, reason="calibrates for minutes: make closure"
)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_runs_or_says_why_not(page):
    for block in blocks_of(page):
        commands = re.search(r"^\$ ", block.text, re.M)
        if block.reason is None:
            assert block.language in RUN + LOOKED_AT, f"{block} has the language {block.language!r}"
            assert block.language != "console" or block.text.startswith("$ "), str(block)
            assert block.language == "console" or not commands, f"{block} has commands: console"
        else:
            assert block.reason.strip(), f"{block} gives no reason"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_mark_stands_before_a_block(page):
    marks = page.read_text(encoding="utf-8").count("<!-- not run")
    assert marks == sum(block.reason is not None for block in blocks_of(page))


def test_few_blocks_do_not_run():
    """A further one is a decision: raise the number with the reason on the page."""
    reasons = [f"{block}: {block.reason}" for block in marked()]
    assert len(reasons) <= 12, "\n".join(reasons)


@pytest.mark.parametrize("page", QUICK, ids=name_of)
def test_quick_pages(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "surveys", tmp_path / "surveys")
    expected = [
        block
        for block in blocks_of(page)
        if block.reason is None
        and (block.language in ("console", "python") or (block.language == "yaml" and block.file))
    ]
    assert Reader(tmp_path, STAND_INS).follow(page) == len(expected)


@pytest.fixture(scope="module")
def setting(tmp_path_factory) -> Path:
    """Return a folder with what the pages take for granted: small surveys, data and runs."""
    folder = tmp_path_factory.mktemp("setting")
    shutil.copytree(ROOT / "surveys", folder / "surveys")
    own = next(block for block in blocks_of(TUTORIAL) if block.file)
    (folder / str(own.file)).write_text(own.text, encoding="utf-8")
    shrink(folder / "surveys")
    survey = folder / "surveys" / "vphas_u.yaml"
    reader = Reader(folder, {})
    block = Block(survey, 0, "console", "", None)
    reader.run(f"scrframe simulate {survey} --out DIR", [], block)
    reader.run(f"scrframe simulate {own.file} --out mine", [], own)
    reader.run(f"scrframe calibrate {survey} --data DIR --out runs/vphas_u --workers 1", [], block)
    shutil.copytree(folder / "runs" / "vphas_u", folder / "runs" / "dr4")
    catalogues = sorted((folder / "DIR" / "catalogues").iterdir())
    for name in ("new", "more", "more_catalogues"):
        (folder / name).mkdir()
    shutil.copy(catalogues[0], folder / "new" / "o20111230_00127_fix_cat.fits")
    shutil.copy(catalogues[1], folder / "more")
    shutil.copy(catalogues[2], folder / "more_catalogues")
    (folder / "data").mkdir()
    shutil.copytree(folder / "DIR", folder / "data" / "dr4", copy_function=os.link)
    return folder


@whole
@pytest.mark.closure
@pytest.mark.parametrize("page", [page for page in SLOW if page != TUTORIAL], ids=name_of)
def test_pages_that_calibrate(page, setting, tmp_path, monkeypatch):
    folder = tmp_path / "work"
    # Runs, and what is written, are this page's own; data are shared.
    shutil.copytree(setting, folder, copy_function=os.link)
    for path in (folder / "surveys").iterdir():
        path.unlink()
    shutil.copytree(setting / "surveys", folder / "surveys", dirs_exist_ok=True)
    text = page.read_text(encoding="utf-8")
    if "surveys copy vphas_u" in text:
        (folder / "surveys" / "vphas_u.yaml").unlink()
    if page.name == "read-the-report.md":
        shrink(folder / "surveys", report=True)
    stars = pq.read_table(folder / "runs" / "vphas_u" / "stars.parquet").slice(0, 1).to_pylist()[0]
    names = {
        "field_0001_56443.25408": str(stars["visit"]),
        "3111035680839434368": str(stars["source_id"]),
    }
    monkeypatch.chdir(folder)
    assert Reader(folder, {**STAND_INS, **names}).follow(page)


@whole
@pytest.mark.closure
def test_tutorial_word_by_word(tmp_path, monkeypatch):
    """In an empty folder, as a newcomer does, with nothing made smaller."""
    monkeypatch.chdir(tmp_path)
    assert Reader(tmp_path, {}, small=False).follow(TUTORIAL) > 12
    found = pq.read_table(tmp_path / "runs" / "mine_u" / "stars.parquet").num_rows
    assert found > 1000
