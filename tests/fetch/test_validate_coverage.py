"""`validate` says what of the sky is missing, and which commands mend it; they do."""

from __future__ import annotations

import shlex
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scrframe.cli import main


@pytest.fixture
def every_star() -> bool:
    return True


@pytest.fixture
def root(tiny_survey, tmp_path):
    target = tmp_path / "whole"
    shutil.copytree(tiny_survey.data, target)
    return target


def validated(tiny_survey, root, capsys) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(
        ["validate", str(tiny_survey.description), "--data", str(root), *tiny_survey.options]
    )
    return code, *capsys.readouterr()


def test_nothing_is_said_of_a_whole_root(tiny_survey, root, capsys):
    code, out, errors = validated(tiny_survey, root, capsys)
    assert code == 0 and errors == ""
    assert "scrframe fetch" not in out


def test_a_root_with_catalogues_only(tiny_survey, bare_root, capsys):
    code, out, errors = validated(tiny_survey, bare_root, capsys)
    assert code == 2
    assert "4 catalogues; no files of gaia_source, XP spectra, extinctions" in out
    assert len((out + errors).splitlines()) < 24
    assert errors.count("error: ") == 3
    lines = [shlex.split(line) for line in out.splitlines() if line.startswith("    scrframe ")]
    assert [line[1] for line in lines] == ["fetch", "calibrate"]


@pytest.mark.slow
def test_the_two_commands_lead_to_a_calibrated_survey(
    tiny_survey, bare_root, capsys, tmp_path, monkeypatch
):
    """They are followed word by word."""
    _, out, _ = validated(tiny_survey, bare_root, capsys)
    lines = [shlex.split(line) for line in out.splitlines() if line.startswith("    scrframe ")]
    monkeypatch.chdir(tmp_path)
    for _, *words in lines:
        assert main([*words, "--quiet"]) == 0
    assert (tmp_path / "runs" / "vphas_u" / "stars.parquet").exists()
    assert validated(tiny_survey, bare_root, capsys)[0] == 0


def rewritten(path, change) -> None:
    table = pq.read_table(path)
    pq.write_table(change(table), path)


def elsewhere(table: pa.Table) -> pa.Table:
    """Return the stars far away on the sky."""
    at = table.schema.get_field_index("ra")
    return table.set_column(at, "ra", pa.array((table["ra"].to_numpy() + 90) % 360))


def test_stars_of_another_part_of_the_sky(tiny_survey, root, capsys):
    rewritten(next((root / "gaia_source").glob("*.parquet")), elsewhere)
    code, out, errors = validated(tiny_survey, root, capsys)
    assert code == 2
    assert "error: no visit has a reference star: its files are of another part" in errors
    assert "4 of 4 visits have no Gaia star" in out
    assert "    scrframe fetch" in out


def test_some_visits_lack_spectra_and_extinctions(tiny_survey, root, capsys):
    """Of the first field's stars alone there are spectra."""
    sources = pq.read_table(next((root / "gaia_source").glob("*.parquet")))
    ids, dec = sources["source_id"].to_numpy(), sources["dec"].to_numpy()
    ra = sources["ra"].to_numpy()
    axis = ra if np.ptp(ra) > np.ptp(dec) else dec
    near = ids[axis < (axis.min() + axis.max()) / 2]

    def kept(table: pa.Table) -> pa.Table:
        return table.filter(pa.array(np.isin(table["source_id"].to_numpy(), near)))

    for path in (root / "gaia_xp").glob("*.parquet"):
        rewritten(path, kept)
    code, out, errors = validated(tiny_survey, root, capsys)
    assert code == 0 and errors == ""
    assert "2 of 4 visits have no spectrum" in out
    assert "no Gaia star" not in out and "no extinction" not in out
    assert "    scrframe calibrate" in out


def test_large_inputs_are_known_by_their_identifiers(tiny_survey, root, capsys, monkeypatch):
    """Of no file of stars more is read than what it states of its identifiers."""
    from scrframe.run.sample import coverage

    monkeypatch.setattr(coverage, "LARGE_BYTES", 0)
    assert "visits have no" not in validated(tiny_survey, root, capsys)[1]
    sources = next((root / "gaia_source").glob("*.parquet"))
    table = pq.read_table(sources)
    pixel = table["source_id"].to_numpy() >> 43
    cut = np.argmax(np.diff(np.unique(pixel)))  # the widest gap is that between the fields
    edge = np.unique(pixel)[cut]
    rewritten(sources, lambda table: table.filter(pa.array(pixel <= edge)))
    code, out, _ = validated(tiny_survey, root, capsys)
    assert code == 0
    assert "2 of 4 visits have no Gaia star" in out
