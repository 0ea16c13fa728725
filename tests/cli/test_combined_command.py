"""Commands on a description of several surveys."""

from __future__ import annotations

from pathlib import Path

SEVERAL = Path(__file__).parents[2] / "surveys" / "vphas_u_g.yaml"


def test_each_survey_is_validated(scrframe_command):
    answer = scrframe_command("validate", SEVERAL, "--data", "sample")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert [line.partition(": valid")[0] for line in lines] == [
        f"{SEVERAL}, vphas_u",
        f"{SEVERAL}, vphas_g",
    ]


def test_surveys_in_mode_sequential_are_refused(scrframe_command):
    answer = scrframe_command("calibrate", SEVERAL, "--set", "offsets.mode=sequential")
    assert answer.code == 2
    assert "survey 'vphas_g' has offsets.mode sequential" in answer.err
    assert not Path("runs").exists()


def test_folders_of_data_go_by_the_names_of_the_surveys(refused, tmp_path):
    (tmp_path / "data").mkdir()
    said = refused("calibrate", SEVERAL, "--data", tmp_path / "data")
    assert f'survey vphas_u: data root "{tmp_path / "data" / "vphas_u"}" does not exist' in said


def test_commands_for_one_survey_refuse_several(refused):
    assert "describes several surveys" in refused("simulate", SEVERAL, "--out", "tree")
    assert "describes several surveys" in refused("compare", SEVERAL)
