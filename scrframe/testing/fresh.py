"""A fresh process: what a plugin's import costs, and whether its pickles open there."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from scrframe.testing.subject import NotTestedError, Subject

#: Libraries that take long to load, which a module may import inside its functions only.
HEAVY = (
    "sklearn",
    "lightgbm",
    "xgboost",
    "catboost",
    "torch",
    "tensorflow",
    "keras",
    "jax",
    "numba",
    "pandas",
    "polars",
    "dask",
    "matplotlib",
    "gaiaxpy",
    "healpy",
    "lsdb",
)
#: Libraries of the framework that look for others themselves.
_OWN_AFFAIR = ("pyarrow", "scipy", "astropy", "numpy", "h5py", "pydantic")
TIMEOUT_S = 300.0

# The finder notes who imports a heavy library; libraries that only look whether it is
# installed are told that it is not, which saves the time.
_SCRIPT = """
import importlib, json, pickle, sys, time
asked, heavy, own = json.loads(sys.argv[1])
found = []
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name not in heavy:
            return None
        frame = sys._getframe(1)
        while frame and frame.f_globals.get("__name__", "").startswith("importlib"):
            frame = frame.f_back
        who = frame.f_globals.get("__name__", "") if frame else ""
        if who.partition(".")[0] in own:
            raise ModuleNotFoundError(name)
        found.append((name, who))
        return None
finder = Finder()
sys.meta_path.insert(0, finder)
import scrframe.plugin
reports = []
for module, folder in asked:
    found.clear()
    start, error = time.process_time(), None
    try:
        importlib.import_module(module)
    except Exception as failure:
        error = f"{type(failure).__name__}: {failure}"
    reports.append([folder, time.process_time() - start, list(found), error])
sys.meta_path.remove(finder)
from scrframe.testing.fresh import answers
for folder, *said in reports:
    with open(folder + "/report.pickle", "wb") as file:
        pickle.dump([*said, answers(folder)], file)
"""


@dataclass(frozen=True)
class Fresh:
    """What a fresh process finds."""

    #: Processor time of the import, beyond that of `scrframe.plugin`.
    cpu_s: float
    #: Heavy libraries that were imported, and by which module.
    heavy: list[tuple[str, str]]
    #: Why the module could not be imported.
    error: str | None
    #: By name of a pickle: ("ok", what was computed from it) or ("error", why not).
    answers: dict[str, tuple[str, Any]]


def answers(folder: str) -> dict[str, tuple[str, Any]]:
    """Open the pickles of a folder, each a function and its arguments, and call it."""
    found: dict[str, tuple[str, Any]] = {}
    for path in sorted(Path(folder).glob("*.task")):
        try:
            function, *arguments = pickle.loads(path.read_bytes())
            found[path.stem] = ("ok", function(*arguments))
        except Exception as error:
            found[path.stem] = ("error", f"{type(error).__name__}: {error}")
    return found


def name_of(descriptor: Any) -> str:
    """Return the name of a descriptor: what the fresh process answers."""
    return str(descriptor.name)


def fresh_of(subject: Subject) -> Fresh:
    """Return what a fresh process finds; there is one for all checks of a subject."""
    return subject.once("a fresh process", lambda: _fresh([subject])[0])


def share_process(subjects: Sequence[Subject]) -> None:
    """Ask one fresh process for several subjects, which saves most of its time."""
    for subject, fresh in zip(subjects, _fresh(subjects), strict=True):
        subject.once("a fresh process", partial(_itself, fresh))


def _itself(fresh: Fresh) -> Fresh:
    return fresh


def _fresh(subjects: Sequence[Subject]) -> list[Fresh]:
    """Return what one fresh process finds of plugins, and of what is laid out of them as pickles.

    A heavy library is blamed on the first of the plugins that imports it; NotTestedError says that
    the process could not be run.
    """
    for subject in subjects:
        _lay_out(subject, "descriptor", name_of, subject.descriptor)
        copied = subject.traits.copied
        if copied is not None:
            with contextlib.suppress(Exception):  # that it cannot be made is another finding
                _lay_out(subject, "copy", *copied(subject))
    folders = [str(subject.folder("fresh")) for subject in subjects]
    asked = [[each.module, folder] for each, folder in zip(subjects, folders, strict=True)]
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, json.dumps([asked, HEAVY, _OWN_AFFAIR])],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    reports = [Path(folder, "report.pickle") for folder in folders]
    if not all(report.exists() for report in reports):
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise NotTestedError(f"a fresh process could not be run: {last[0]}")
    return [Fresh(*pickle.loads(report.read_bytes())) for report in reports]


def _lay_out(subject: Subject, name: str, *task: Any) -> None:
    """Write a function and its arguments for a fresh process; what cannot be pickled is left."""
    with contextlib.suppress(Exception):
        content = pickle.dumps(task)
        (subject.folder("fresh") / f"{name}.task").write_bytes(content)
