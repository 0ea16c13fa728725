"""The data root: one reserved word, everything else a directory."""

from pathlib import Path

import pytest

from scrframe.config import DataRoot, resolve_data_root
from scrframe.errors import DataError


def test_the_word_sample_is_the_built_in_survey(load):
    Path("sample").mkdir()
    assert resolve_data_root(load()) == DataRoot(True, None)
    assert resolve_data_root(load(), "sample") == DataRoot(True, None)


def test_a_directory_called_sample_is_written_as_one(load):
    Path("sample").mkdir()
    assert resolve_data_root(load(), "./sample") == DataRoot(False, Path.cwd() / "sample")


def test_relative_roots_start_at_the_working_directory(load, minimal, tmp_path, monkeypatch):
    survey = load(minimal + "data: {root: tree}\n")
    (tmp_path / "run" / "tree").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run")
    assert resolve_data_root(survey) == DataRoot(False, tmp_path / "run" / "tree")


def test_the_command_line_comes_first(load, minimal, tmp_path):
    survey = load(minimal + "data: {root: absent}\n")
    assert resolve_data_root(survey, str(tmp_path)).path == tmp_path


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("absent", 'data root "absent" does not exist'),
        ("s.yaml", 'data root "s.yaml" is not a directory'),
        ("", 'data root "" does not exist'),
    ],
)
def test_a_root_that_is_none(load, value, says):
    with pytest.raises(DataError) as caught:
        resolve_data_root(load(), value)
    assert says in str(caught.value)
