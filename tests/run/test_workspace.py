"""A run is whole or not there."""

import json
import os

import numpy as np
import pyarrow as pa
import pytest

from scrframe.errors import ConfigError
from scrframe.products.files import RUN_MARK, load_arrow, save_arrow, write_json
from scrframe.run.workspace import Workspace


def test_a_finished_run_is_in_its_place_and_nothing_else(tmp_path):
    space = Workspace.open(tmp_path / "runs" / "mine", "key")
    (space.run / RUN_MARK).write_text("{}")
    space.finish()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["mine"]
    assert (tmp_path / "runs" / "mine" / RUN_MARK).exists()


def test_an_earlier_run_is_replaced_whole(tmp_path):
    out = tmp_path / "mine"
    for text in ("first", "second"):
        space = Workspace.open(out, text)
        (space.run / RUN_MARK).write_text(text)
        if text == "first":
            (space.run / "only_first").write_text("")
        space.finish()
    assert (out / RUN_MARK).read_text() == "second"
    assert not (out / "only_first").exists()


def test_a_discarded_run_leaves_nothing_not_even_folders_made_for_it(tmp_path):
    space = Workspace.open(tmp_path / "a" / "b" / "mine", "key")
    space.discard()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_run_is_not_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match="not an earlier run"):
        Workspace.open(tmp_path, "key")


def test_work_stays_for_the_same_key_only(tmp_path):
    def opened(key):
        space = Workspace.open(tmp_path / "mine", key)
        space.lock.release()
        return space.target("step", "part")

    save_arrow(opened("key"), pa.table({"x": [1]}))
    assert opened("key").exists()
    assert not opened("other").exists()


def test_arrow_files_carry_tables_and_json(tmp_path):
    table = pa.table({"x": np.arange(5), "label": pa.array(["a"] * 5).dictionary_encode()})
    save_arrow(tmp_path / "t.arrow", table, {"counts": [1, 2]})
    again, meta = load_arrow(tmp_path / "t.arrow")
    assert again.equals(table)
    assert meta == {"counts": [1, 2]}


def test_json_has_no_nan(tmp_path):
    write_json(tmp_path / "s.json", {"a": float("nan"), "b": np.float64(2.5), "c": (np.int64(3),)})
    assert json.loads((tmp_path / "s.json").read_text()) == {"a": None, "b": 2.5, "c": [3]}


def test_two_runs_do_not_work_in_one_place(tmp_path):
    space = Workspace.open(tmp_path / "mine", "key")
    with pytest.raises(ConfigError, match="another run"):
        Workspace.open(tmp_path / "mine", "key")
    # Who was there last does not count, though its number may be somebody else's now.
    (space.root / "owner").write_text(str(os.getppid()))
    space.lock.release()
    again = Workspace.open(tmp_path / "mine", "key")
    assert again.root == space.root
    again.close()
    assert list(tmp_path.iterdir()) == []
