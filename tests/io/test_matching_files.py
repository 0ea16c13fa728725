"""Files are found through links, each once, and nothing is left out in silence."""

import pytest

from scrframe.errors import DataError
from scrframe.io import matching_files


@pytest.fixture
def tree(tmp_path):
    for name in ("a/1.csv", "a/b/2.csv", "a/.hidden/3.csv", "a/_log.csv", "other/c/4.csv"):
        path = tmp_path / "root" / name if name[0] == "a" else tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "root/a/link").symlink_to(tmp_path / "other")
    return tmp_path / "root"


@pytest.mark.parametrize("pattern", ["a", "a/", ".", "**/*.csv", "a/**/*.csv", "a/**", "*"])
def test_folders_that_are_links_are_searched(pattern, tree):
    found = [path.relative_to(tree).as_posix() for path in matching_files(pattern, tree)]
    assert found == ["a/1.csv", "a/b/2.csv", "a/link/c/4.csv"]


def test_patterns_name_files_folders_and_what_is_hidden(tree):
    for pattern, names in {
        "a/*.csv": ["1.csv"],
        "a/*/*.csv": ["2.csv"],
        "a/_*": ["_log.csv"],
        "a/.hidden": ["3.csv"],
        "a/l*/c/[0-9].csv": ["4.csv"],
        str(tree / "a/1.csv"): ["1.csv"],
        "no/*": [],
    }.items():
        assert [path.name for path in matching_files(pattern, tree)] == names


def test_a_file_that_several_links_lead_to_counts_once(tree):
    (tree / "a/again.csv").symlink_to(tree / "a/1.csv")
    (tree / "z").symlink_to(tree / "a/b")
    assert [path.name for path in matching_files("**/*.csv", tree)] == ["1.csv", "2.csv", "4.csv"]


def test_links_that_lead_back_are_refused(tree):
    (tree / "a/b/up").symlink_to(tree / "a")
    with pytest.raises(DataError, match=r"b/up: this link leads back to .*/a, which holds it"):
        matching_files("**/*.csv", tree)
