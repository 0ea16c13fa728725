"""`scrframe surveys`: descriptions that ship, in a checkout and in a wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from scrframe.config import combined

SURVEYS = Path(__file__).parents[2] / "surveys"


def test_all_descriptions_are_listed_with_their_loaders(scrframe_command):
    lines = scrframe_command("surveys", "list").out.splitlines()
    assert lines[0].split() == ["NAME", "LOADER", "SUMMARY"]
    assert [line.split()[0] for line in lines[1:]] == sorted(p.stem for p in SURVEYS.glob("*.yaml"))
    row = next(line for line in lines if line.startswith("vphas_u "))
    assert row.split(maxsplit=2)[1:] == ["vphas_casu", "VPHAS+ DR4, u band"]


def test_a_loader_that_is_missing_is_said(scrframe_command, monkeypatch, tmp_path):
    (tmp_path / "mine.yaml").write_text("name: mine\nloader: {kind: elsewhere}\n")
    monkeypatch.setattr(combined, "PLACES", (tmp_path, SURVEYS))
    lines = scrframe_command("surveys", "list").out.splitlines()
    assert lines[1:] == ["mine  elsewhere (not installed)"]


@pytest.mark.parametrize("name", ["vphas_u", "vphas_u.yaml"])
def test_the_copy_is_the_description_and_is_valid(scrframe_command, name):
    answer = scrframe_command("surveys", "copy", name)
    assert answer.code == 0
    assert (
        answer.out == "surveys/vphas_u.yaml; run it with: scrframe calibrate surveys/vphas_u.yaml\n"
    )
    copy = Path("surveys/vphas_u.yaml")
    assert copy.read_bytes() == (SURVEYS / "vphas_u.yaml").read_bytes()
    assert scrframe_command("validate", copy).code == 0


def test_a_copy_goes_where_it_is_told(scrframe_command):
    assert scrframe_command("surveys", "copy", "vphas_u", "--to", "a/b").code == 0
    assert Path("a/b/vphas_u.yaml").exists()


def test_descriptions_that_one_of_several_names_are_copied_along(scrframe_command):
    assert scrframe_command("surveys", "copy", "vphas_u_g").code == 0
    assert sorted(path.name for path in Path("surveys").iterdir()) == [
        "vphas_u.yaml",
        "vphas_u_g.yaml",
    ]
    Path("surveys/vphas_u_g.yaml").unlink()
    Path("surveys/vphas_u.yaml").write_text("name: mine\n")
    assert scrframe_command("surveys", "copy", "vphas_u_g").code == 0
    assert Path("surveys/vphas_u.yaml").read_text() == "name: mine\n"


def test_a_changed_copy_is_not_replaced(scrframe_command, refused):
    scrframe_command("surveys", "copy", "vphas_u")
    changed = Path("surveys/vphas_u.yaml")
    changed.write_text("name: mine\n")
    assert "surveys/vphas_u.yaml: already exists" in refused("surveys", "copy", "vphas_u")
    assert changed.read_text() == "name: mine\n"


def test_wrong_names_and_folders_are_refused(refused, tmp_path):
    assert 'did you mean "vphas_u"?' in refused("surveys", "copy", "vpas_u")
    assert "there are: " in refused("surveys", "copy", "zzz")
    file = tmp_path / "file"
    file.touch()
    assert f"{file}: is not a folder" in refused("surveys", "copy", "vphas_u", "--to", file)
    assert "cannot be written" in refused("surveys", "copy", "vphas_u", "--to", file / "below")


def test_an_installation_without_descriptions_is_said(refused, monkeypatch, tmp_path):
    monkeypatch.setattr(combined, "PLACES", (tmp_path / "none", tmp_path / "nor"))
    assert "install scrframe anew" in refused("surveys", "list")
