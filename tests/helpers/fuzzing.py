"""Mutated inputs of all readers: each is read, or refused by a line; `make fuzz` runs many.

A mutation must not end in a traceback, take more than `SECONDS`, or more than `MEGABYTES`.

What is accepted and gives other results is of these families, which nothing in the file tells
from what its author meant:

- a digit, sign or letter of a value that stays plausible for its column, a value that becomes one
  of those that stand for none, and the mantissas in binary columns that have no checksum;
- rows at the end of a text that are lost at the end of a line, or stand there twice (FITS, Parquet,
  HDF5 and VOTable state how many there are);
- names of columns, units and keywords that become other valid ones, and comments;
- values of a description that are as valid as those before;
- solutions of version 0.1.0, which have no hashes (of later ones every change is refused).
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table

from scrframe.builtin.extinctions.zhang_green_rix import plugin as zgr23
from scrframe.builtin.reference_catalogues.gaia import features, parts, plugin
from scrframe.builtin.reference_catalogues.gaia.products import GaiaXpConfig
from scrframe.builtin.survey_loaders.table import loader
from scrframe.builtin.survey_loaders.table.settings import TableConfig
from scrframe.config import load_survey
from scrframe.errors import ScrframeError
from scrframe.io import open_tables
from scrframe.plugin import Registry, load_registry
from scrframe.products.solution import read_solution, seal_solution
from scrframe.spectra.passband import read_passband
from scrframe.tables import ReferenceStars

SECONDS, MEGABYTES = 10, 2048
ROOT = Path(__file__).parents[2]
SOLUTION = ROOT / "tests" / "fixtures" / "solution_0_1_0" / "joint" / "solution"
IDS = np.array([2**60 + 1, 2**60 + 3, 2**61 + 5])
#: What a mutation puts in the place of some bytes.
TOKENS = [
    *(b"0", b"-1", b"nan", b"inf", b"1e400", b"99999999999999999999", b"4294967296", b"2147483648"),
    *(b"", b"\0", b"\n", b",", b"'", b'"', b"[", b"(", b"{", b"<", b"]]>", b"\xff", b"\xc3\x28"),
    *(b"# ", b"%ECSV 1.0", b"\xef\xbb\xbf", b"NaN", b"null", b"\xf0\x9f\x92\xa9", b"../..", b"!!"),
]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return data with some changes: bits, bytes, numbers, pieces lost, doubled or swapped."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        size = len(out)
        if not size:
            break
        # Headers decide most, and so half of the changes lie near the start.
        at = rng.randrange(min(size, 3000)) if rng.random() < 0.5 else rng.randrange(size)
        span = slice(at, at + rng.choice((1, 1, 2, 4, 8, 80, 2880)))
        kind = rng.randrange(8)
        numbers = list(re.finditer(rb"\d+", out[at : at + 400])) if kind in (3, 4) else []
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[span] = rng.randbytes(len(out[span]))
        elif kind == 2:
            out[span] = b""
        elif numbers:
            found = rng.choice(numbers)
            token = rng.choice(TOKENS[:8])
            if kind == 3:
                token = token.rjust(found.end() - found.start())
                if out[max(0, at + found.start() - 20) : at + found.start()].isspace():
                    found_start = at + found.end() - len(token)
                    out[found_start : at + found.end()] = token  # a card of FITS keeps its width
                    continue
            out[at + found.start() : at + found.end()] = token
        elif kind == 5:
            out[at:at] = rng.choice(TOKENS)
        elif kind == 6:
            out[at:at] = out[span] * rng.choice((1, 3, 50))
        else:
            del out[at:]
    return bytes(out)


def _columns() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    rows = 40
    return {
        "visit": np.repeat([11, 12], rows // 2),
        "ccd": np.arange(rows) % 4 + 1,
        "ra": rng.uniform(10, 10.2, rows),
        "dec": rng.uniform(-1, -0.8, rows),
        "x": rng.uniform(1, 2000, rows),
        "y": rng.uniform(1, 4000, rows),
        "mjd": np.repeat([56000.25, 56001.25], rows // 2),
        "mag": rng.uniform(14, 20, rows),
        "mag_err": rng.uniform(0.01, 0.1, rows),
        "flags": np.arange(rows) % 3,
        "name": np.array([f"star {number}" for number in range(rows)]),
    }


def _bytes(write: Callable[[Any], Any]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def _text(table: Table, form: str, **keys: Any) -> bytes:
    out = io.StringIO()
    table.write(out, format=form, **keys)
    return out.getvalue().encode()


def _hdf5(columns: dict[str, Any]) -> bytes:
    def write(buffer: Any) -> None:
        with h5py.File(buffer, "w") as file:
            for name, values in columns.items():
                file.create_dataset(name, data=values, compression="gzip", chunks=True)

    return _bytes(write)


def _spectra() -> dict[str, Any]:
    rng = np.random.default_rng(2)
    found: dict[str, Any] = {"source_id": IDS}
    for band in ("bp", "rp"):
        found[f"{band}_coefficients"] = rng.normal(size=(3, 55))
        found[f"{band}_coefficient_errors"] = rng.uniform(1, 2, (3, 55))
    return found


def _sources() -> dict[str, Any]:
    names = ("ra", "dec", "pmra", "pmdec", "phot_g_mean_mag", "phot_bp_mean_mag")
    names += ("phot_rp_mean_mag", "phot_bp_mean_flux_over_error", "phot_bp_rp_excess_factor")
    return {"source_id": IDS, **{name: np.array([10.0, 11.0, 12.0]) for name in names}}


def _lists(columns: dict[str, Any]) -> pa.Table:
    return pa.table({name: list(values) for name, values in columns.items()})


@cache
def seeds() -> dict[str, bytes]:
    """Return files of every format, by name; the name begins with what reads them."""
    whole, spectra, sources = _columns(), _spectra(), _sources()
    table = Table(whole)
    vector = Table({**whole, "vector": np.ones((40, 3))})
    text = {n: [str(v.tolist()) for v in a] if a.ndim > 1 else a for n, a in spectra.items()}
    sampled = Table({"wavelength": np.arange(336.0, 1021, 2)})
    sampled["flux"], sampled["flux_error"] = 1.0, 0.1
    hdus = fits.HDUList(
        [fits.PrimaryHDU(), fits.BinTableHDU(vector), fits.TableHDU(sampled.as_array())]
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("XP_SAMPLED-Gaia DR3 123456.csv", _text(sampled, "ascii.csv"))
    csv = _text(table, "ascii.csv")
    vizier = csv.replace(b",", b"\t").split(b"\n", 1)
    rules = b"\t".join([b" "] * 11) + b"\n" + b"\t".join([b"---"] * 11) + b"\n"
    estimates = {"gdr3_source_id": IDS, "quality_flags": np.zeros(3, "u1")}
    estimates |= {f"stellar_params_{n}": np.ones((3, 5), "f4") for n in ("est", "err")}
    found = {
        "table.csv": csv,
        "table.csv.gz": gzip.compress(csv),
        "table.ecsv": _text(table, "ascii.ecsv"),
        "table.tsv": b"#x\n" + vizier[0] + b"\n" + rules + vizier[1],
        "table.dat": _text(table["ccd", "ra", "mag"], "ascii.commented_header"),
        "table.fits": _bytes(hdus.writeto),
        "table.parquet": _bytes(lambda out: pq.write_table(pa.table(whole), out)),
        "table.vot": _bytes(lambda out: table.write(out, format="votable")),
        "table.b2.vot": _bytes(
            lambda out: table.write(out, format="votable", tabledata_format="binary2")
        ),
        "table.h5": _hdf5({name: values for name, values in whole.items() if name != "name"}),
        "spectra.csv": _text(Table(text), "ascii.csv"),
        "spectra.fits": _bytes(lambda out: Table(spectra).write(out, format="fits")),
        "spectra.parquet": _bytes(lambda out: pq.write_table(_lists(spectra), out)),
        "spectra.zip": packed.getvalue(),
        "sources.csv": _text(Table(sources), "ascii.csv"),
        "sources.parquet": _bytes(lambda out: pq.write_table(pa.table(sources), out)),
        "extinctions.h5": _hdf5(estimates),
        "survey.yaml": (ROOT / "surveys" / "nsc_dr2_u.yaml").read_bytes(),
        "set.txt": b"offsets.levels.visit.sd=60 mmag",
    }
    for path in sorted(SOLUTION.iterdir()):
        found[f"solution/{path.name}"] = path.read_bytes()
        found[f"sealed/{path.name}"] = path.read_bytes()
    return found


def _all_of(path: Path) -> Any:
    """Read all columns of all tables in every way."""
    found: list[Any] = []
    for table in open_tables(path, hdu="all"):
        for name in table.names:
            for block in table.blocks([name]):
                for read in (block.numbers, block.identifiers, block.texts, block.flags):
                    try:
                        found.append(str(read(name))[:200])
                    except ScrframeError as error:
                        found.append(type(error).__name__)
        found.append(str(table.keyword("EXPTIME")))
    return found


def _detections(path: Path) -> Any:
    config = TableConfig.model_validate({"files": path.name, "flags": ["flags"], "hdu": 1})
    (part,) = loader.parts(config, path.parent)
    loader.check(part, config)
    return [str(column) for column in loader.read(part, config).arrow.columns]


def _spectra_of(path: Path) -> Any:
    config = GaiaXpConfig(spectra=path.name)
    zeros = {name: np.zeros(4) for name in ReferenceStars.required}
    stars = ReferenceStars.from_columns({**zeros, "source_id": np.sort([*IDS, 123456])})
    found = []
    for part in parts.feature_parts(config, path.parent):
        parts.check(part, config)
        found.append(features.read_features(part, config, stars, ()).flux.tobytes())
    return found


def _sources_of(path: Path) -> Any:
    config = GaiaXpConfig(sources=path.name)
    return [
        str(plugin.read_sources(part, config, None, ()).arrow)
        for part in parts.source_parts(config, path.parent)
    ]


def _extinctions_of(path: Path) -> Any:
    config = zgr23.Zgr23Config(files=path.name)
    (part,) = zgr23.parts(config, path.parent)
    zgr23.check(part, config)
    return str(zgr23.read(part, config, IDS).arrow)


def _set(path: Path) -> Any:
    option = path.read_bytes().decode("utf-8", "replace")
    return load_survey(ROOT / "surveys" / "nsc_dr2_u.yaml", overrides=[option]).digest()


@cache
def _registry() -> Registry:
    return load_registry()


def _solution(path: Path) -> Any:
    name = path.parent.name
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "solution"
        shutil.copytree(SOLUTION, copy)
        if name == "sealed":
            seal_solution(copy)
        if name != "sealed" or path.read_bytes() != (copy / path.name).read_bytes():
            shutil.copy(path, copy / path.name)
        found = read_solution(copy, _registry())
        return [str(vars(level.offsets)) for level in found.levels], str(found.exposures)


READERS: dict[str, tuple[Callable[[Path], Any], ...]] = {
    "table": (_all_of, _detections, lambda path: read_passband(path, "ra", "mag", "nm")),
    "spectra": (_spectra_of,),
    "sources": (_sources_of,),
    "extinctions": (_extinctions_of,),
    "survey": (lambda path: load_survey(path).digest(),),
    "set": (_set,),
    "solution": (_solution,),
    "sealed": (_solution,),
}


#: How often each kind of input is taken; some are slow to read.
WEIGHTS = {
    "table": 10,
    "spectra": 4,
    "sources": 2,
    "extinctions": 2,
    "survey": 1,
    "set": 1,
    "solution": 1,
    "sealed": 1,
}


def _kind(name: str) -> str:
    return re.split(r"[./]", name)[0]


class TooLongError(Exception):
    """A reader took more than its time."""


def _stop(*_: Any) -> None:
    raise TooLongError(f"more than {SECONDS} s")


def run_one(number: int, seed: int, folder: Path, names: list[str]) -> Iterator[tuple[str, str]]:
    """Mutate and read one file; yield what became of it by each reader.

    What became of it: ``refused``, ``same``, ``different``, or a traceback.
    """
    rng = random.Random(f"{seed}-{number}")
    kinds = {kind: [name for name in names if _kind(name) == kind] for kind in WEIGHTS}
    there = [kind for kind in WEIGHTS if kinds[kind]]
    (kind,) = rng.choices(there, [WEIGHTS[kind] for kind in there])
    name = rng.choice(kinds[kind])
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data = mutated(seeds()[name], rng)
    path.write_bytes(data)
    for index, read in enumerate(READERS[_kind(name)]):
        signal.alarm(SECONDS)
        try:
            found = str(read(path))
            yield name, "same" if found == _expected(name, index) else "different"
        except ScrframeError as error:
            fault = "\n" in str(error) or len(str(error)) > 2000
            # A description is told all that is wrong with it, a line each.
            yield name, "refused" if not fault or "yaml" in name else f"a long message: {error}"
        except (Exception, RecursionError, MemoryError):
            yield name, traceback.format_exc()
        finally:
            signal.alarm(0)


@cache
def _expected(name: str, index: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(seeds()[name])
        try:
            return str(READERS[_kind(name)][index](path))
        except ScrframeError as error:
            return f"refused: {error}"


def run_range(first: int, last: int, seed: int, names: list[str]) -> tuple[Counter[str], list[str]]:
    """Run mutations and return how many ended how, and the faults."""
    signal.signal(signal.SIGALRM, _stop)
    counts: Counter[str] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, last):
            print(f"at {number}", file=sys.stderr, flush=True)
            for name, outcome in run_one(number, seed, Path(folder), names):
                known = outcome in ("refused", "same", "different")
                counts[f"{name} {outcome if known else 'FAULT'}"] += 1
                if not known:
                    faults.append(f"{number} ({name}): {outcome}")
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            if peak > MEGABYTES:
                faults.append(f"{number}: {peak} MB")
                break
    return counts, faults


def main() -> int:
    """Run many mutations in processes of their own, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chunk", type=int, default=400)
    parser.add_argument("--only", default="", help="beginning of the names of files")
    parser.add_argument("--range", type=int, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    names = [name for name in seeds() if name.startswith(given.only)]
    if given.range:
        counts, faults = run_range(*given.range, given.seed, names)
        print(json.dumps({"counts": counts, "faults": faults}))
        return 0
    counts, faults, started = Counter(), [], time.monotonic()
    for first in range(0, given.mutations, given.chunk):
        last = min(first + given.chunk, given.mutations)
        command = [sys.executable, __file__, "--seed", str(given.seed), "--only", given.only]
        command += ["--range", str(first), str(last)]
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=SECONDS * 60, check=True, text=True
            )
            found = json.loads(done.stdout.splitlines()[-1])
            counts.update(found["counts"])
            faults += found["faults"]
        except (subprocess.SubprocessError, ValueError, IndexError) as error:
            said = getattr(error, "stderr", "") or ""
            said = said.decode() if isinstance(said, bytes) else said
            faults.append(f"{first} to {last}: {error}: {said[-2000:]}")
    for name in sorted(counts):
        print(f"{name:44s} {counts[name]:7d}")
    print(*faults, sep="\n")
    print(f"{given.mutations} mutations, {len(faults)} faults, {time.monotonic() - started:.0f} s")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
