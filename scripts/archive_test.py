"""Fetch from a real TAP server on this machine, and calibrate what came.

    make archive-test       (as root on Debian; elsewhere it says why it does nothing)

Debian's PostgreSQL and DaCHS (the server of the GAVO data centre) are installed if need be,
filled with a simulated sky with columns of arrays, and stopped at the end. `scrframe fetch` fills
a data root from them by jobs and uploads; the run on it must give the star catalogue of a run on
the simulated files, to the bit.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

import scrframe
from scrframe.cli import main as command
from scrframe.config import SimulationSettings

ROOT = Path(__file__).parents[1]
SURVEY = ROOT / "surveys" / "vphas_u.yaml"
INPUTS = Path("/var/gavo/inputs/scrframe_sim")
SERVER = "http://127.0.0.1:8080"
TAP = f"{SERVER}/__system__/tap/run"
PACKAGES = ("postgresql", "gavodachs2-server")
#: What lets a survey of two fields calibrate, in seconds.
TINY = (
    "offsets.min_stars=3",
    "offsets.joint.max_rounds=4",
    "report.enabled=false",
    "writers=[]",
)
TYPES = {
    "int64": "bigint",
    "double": "double precision",
    "float": "real",
    "bool": "boolean",
    "int16": "smallint",
    "int8": "smallint",
    "uint8": "smallint",
}
SERVICES = """
defaults: {{sources: here, spectra: here, extinctions: here}}
services:
  here:
    summary: the TAP server of this test
    tried: true
    guest: {{pause: 0, first_wait: 1, attempts: 3, parallel: 2}}
    dr3:
      sources:
        kind: tap
        tap: {{url: "{url}", table: scrframe_sim.gaia_source,
              where: "has_xp_continuous = 'True'"}}
      spectra:
        kind: tap
        tap: {{url: "{url}", table: scrframe_sim.xp_continuous_mean_spectrum, ids_a_query: 500}}
      extinctions:
        kind: tap
        tap: {{url: "{url}", table: scrframe_sim.stellar_params}}
"""


def run(*words: str, user: str | None = None, check: bool = True) -> str:
    """Run a command, as a user if one is named, and return its output."""
    line = ["runuser", "-u", user, "--", *words] if user else list(words)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    environment.pop("PYTHONPATH", None)  # DaCHS runs on Debian's own Python
    done = subprocess.run(
        line, capture_output=True, text=True, check=False, env=environment, cwd="/"
    )
    if check and done.returncode:
        raise SystemExit(f"archive-test: {' '.join(line)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def skipped() -> str:
    """Return why the test cannot be made here; empty if it can."""
    if os.geteuid() != 0:
        return "archive-test skipped: it installs and starts servers, so it must be root"
    if shutil.which("apt-get") is None:
        return "archive-test skipped: this is no Debian (apt-get is not there)"
    return ""


@contextmanager
def cluster() -> Iterator[None]:
    """Have PostgreSQL up, before the set-up of DaCHS looks for it; end as it was."""
    if shutil.which("pg_lsclusters") is None:
        run("apt-get", "update", "-qq")
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", PACKAGES[0])
    version, name, _, status = run("pg_lsclusters", "--no-header").split()[:4]
    was_up = status.startswith("online")
    if not was_up:
        run("pg_ctlcluster", version, name, "start")
    try:
        yield
    finally:
        if not was_up:
            run("pg_ctlcluster", version, name, "stop", check=False)


@contextmanager
def dachs(tables: dict[str, pa.Table]) -> Iterator[None]:
    """Have DaCHS up with tables in it, and drop them at the end."""
    if shutil.which("dachs") is None:
        run("apt-get", "update", "-qq")
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", PACKAGES[1])
    shutil.rmtree(INPUTS, ignore_errors=True)
    (INPUTS / "data").mkdir(parents=True)
    for name, table in tables.items():
        pacsv.write_csv(as_text(table), INPUTS / "data" / f"{name}.csv")
    (INPUTS / "q.rd").write_text(descriptor(tables), encoding="utf-8")
    run("chown", "-R", "dachsroot:gavo", str(INPUTS))
    run("dachs", "imp", "scrframe_sim/q", user="dachsroot")
    server = subprocess.Popen(
        ["runuser", "-u", "gavo", "--", "dachs", "serve", "debug"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        cwd="/",
        start_new_session=True,
    )
    try:
        wait_for(f"{TAP}/availability", server)
        yield
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)
        run("dachs", "drop", "--all", "scrframe_sim/q", user="dachsroot", check=False)
        shutil.rmtree(INPUTS, ignore_errors=True)


def wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers."""
    for _ in range(120):
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            if server.poll() is not None:
                raise SystemExit("archive-test: dachs serve debug ended by itself") from None
            time.sleep(0.5)
    raise SystemExit(f"archive-test: {address} does not answer")


def as_text(table: pa.Table) -> pa.Table:
    """Return a table with arrays as numbers with blanks between."""
    columns = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        if pa.types.is_list(column.type):
            column = pa.array([" ".join(map(repr, row)) for row in column.to_pylist()])
        columns[name] = column
    return pa.table(columns)


def descriptor(tables: dict[str, pa.Table]) -> str:
    """Return the resource descriptor: a table, and how a CSV becomes it, for each."""
    parts = [
        '<resource schema="scrframe_sim">',
        '<meta name="title">A simulated sky</meta>',
        '<meta name="description">For a test of scrframe.</meta>',
        '<meta name="creationDate">2026-01-01T00:00:00Z</meta>',
        '<meta name="subject">surveys</meta><meta name="creator">scrframe</meta>',
    ]
    for name, table in tables.items():
        columns, maps = [], []
        for item in table.schema:
            is_list = pa.types.is_list(item.type)
            kind = TYPES[str(item.type.value_type if is_list else item.type)]
            width = len(table[item.name][0].as_py()) if is_list else 0
            kind += f"[{width}]" if is_list else ""
            required = ' required="True"' if str(item.type) in ("int16", "int64", "uint8") else ""
            columns.append(
                f'<column name="{item.name}" type="{kind}" description="as simulated"'
                f' ucd=""{required}/>'
            )
            value = f"@{item.name}"
            if is_list:
                value = f"[float(item) for item in {value}.split()]"
            elif kind == "boolean":
                value = f'{value} == "true"'
            maps.append(f'<map key="{item.name}">{value}</map>')
        parts.append(
            f'<table id="{name}" onDisk="True" adql="True" primary="source_id">'
            f'<meta name="description">Simulated.</meta>{"".join(columns)}</table>'
            f'<data id="import_{name}"><sources>data/{name}.csv</sources><csvGrammar/>'
            f'<make table="{name}"><rowmaker>{"".join(maps)}</rowmaker></make></data>'
        )
    return "\n".join([*parts, "</resource>\n"])


def simulated(data: Path) -> dict[str, pa.Table]:
    """Return the simulated products as tables of a server."""
    sources = pq.read_table(next((data / "gaia_source").glob("*.parquet")))
    spectra = pa.concat_tables(
        pq.read_table(path) for path in sorted((data / "gaia_xp").glob("*.parquet"))
    )
    names = [f"{band}_{what}" for band in ("bp", "rp") for what in ARRAYS]
    with h5py.File(next((data / "zgr23").glob("*.h5"))) as file:
        columns = {"source_id": pa.array(file["gdr3_source_id"][:])}
        for name in ("stellar_params_est", "stellar_params_err"):
            columns[name] = pa.array(list(file[name][:]))
        columns["quality_flags"] = pa.array(file["quality_flags"][:].astype(np.int16))
    return {
        "gaia_source": sources.drop_columns(["solution_id"]),
        "xp_continuous_mean_spectrum": spectra.select(["source_id", *names]),
        "stellar_params": pa.table(columns),
    }


ARRAYS = ("coefficients", "coefficient_errors", "coefficient_correlations")


def same_stars(first: Path, second: Path) -> int:
    """Return the number of rows of two star catalogues; ends if they differ in a bit."""
    ours, theirs = (pq.read_table(path / "stars.parquet") for path in (first, second))
    for name in theirs.column_names:
        mine, other = ours[name].to_numpy(), theirs[name].to_numpy()
        if not np.array_equal(mine, other, equal_nan=mine.dtype.kind == "f"):
            raise SystemExit(f"archive-test: column {name} of stars.parquet differs")
    return len(ours)


def main() -> int:
    """Make the test, and return the exit code."""
    why_not = skipped()
    if why_not:
        sys.stdout.write(why_not + "\n")
        return 0
    start = time.perf_counter()
    survey = scrframe.load_survey(SURVEY, overrides=TINY)
    with tempfile.TemporaryDirectory(prefix="scrframe-archive-test-") as folder:
        data, root, runs = (Path(folder) / name for name in ("simulated", "root", "runs"))
        settings = SimulationSettings(fields=2, density=600.0, seed=3)
        scrframe.simulate_survey(survey, data, settings=settings)
        tables = simulated(data)
        shutil.copytree(data / "catalogues", root / "catalogues")
        (root / "services.yaml").write_text(SERVICES.format(url=TAP), encoding="utf-8")
        with cluster(), dachs(tables):
            said = f"up after {time.perf_counter() - start:.0f} s: {TAP}"
            sys.stdout.write(said + "\n")
            for more in (["--plan"], []):
                code = command(["fetch", str(SURVEY), "--data", str(root), *more])
                if code:
                    return code
        options = {"workers": 1, "report": False}
        ours = scrframe.calibrate(survey, data=root, out=runs / "fetched", **options)
        theirs = scrframe.calibrate(survey, data=data, out=runs / "files", **options)
        stars = same_stars(ours.path, theirs.path)
    took = time.perf_counter() - start
    sys.stdout.write(f"archive-test passed in {took:.0f} s: {stars} rows, the same to the bit\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
