"""Blocks of code on the pages of the documentation, and a folder in which they run."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

import scrframe
from scrframe.config import is_combined
from scrframe.config.document import parse_yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    *sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts),
]
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.M
)
MARK = re.compile(r"<!-- not run: (?P<reason>[^>]*?) -->\n\s*\Z")
#: What only a reader has, and what stands for it.
STAND_INS = {"<data root>": "DIR", "/data/mine": "mine", "--fields 40": "--fields 2"}


@dataclass(frozen=True)
class Block:
    """One block of code, and why it does not run if it is marked so."""

    page: Path
    line: int
    language: str
    text: str
    reason: str | None

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"

    @property
    def file(self) -> str | None:
        """Path of the file that a reader is to write: the comment in the first line."""
        found = re.match(r"# (\S+\.\w+)\n", self.text)
        return found.group(1) if found else None

    def commands(self) -> list[tuple[str, list[str]]]:
        """Return each command with the lines that the page shows below it."""
        found: list[tuple[str, list[str]]] = []
        for line in self.text.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
        return found


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page in order, without those that only Sphinx reads."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        mark = MARK.search(text, 0, match.start())
        found.append(
            Block(
                page=page,
                line=text.count("\n", 0, match.start()) + 1,
                language=match["language"].strip(),
                text=re.sub(f"^{match['indent']}", "", match["text"], flags=re.M),
                reason=mark["reason"] if mark else None,
            )
        )
    return [block for block in found if not block.language.startswith("{")]


def is_slow(page: Path) -> bool:
    """Whether a page calibrates, or looks at what a calibration has made."""
    slow = r"scrframe (calibrate|compare|montecarlo)\b|\bruns/|scrframe\.calibrate\("
    return any(
        re.search(slow, block.text)
        for block in blocks_of(page)
        if block.language in ("console", "python") and block.reason is None
    )


@dataclass
class Reader:
    """Somebody who does what a page says, in a folder of the page's own."""

    folder: Path
    stand_ins: dict[str, str]
    small: bool = True

    def follow(self, page: Path) -> int:
        """Run the blocks of a page in order and return how many ran."""
        module = types.ModuleType("page")
        sys.modules[module.__name__] = module
        count = 0
        for block in blocks_of(page):
            if block.reason is not None:
                continue
            if block.language == "console":
                for command, shown in block.commands():
                    self.run(command, shown, block)
            elif block.language == "python":
                # As many lines above as on the page, so that a traceback tells the line.
                text = "\n" * block.line + self.meant(block.text)
                code = compile(text, str(page), "exec", dont_inherit=True)
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(code, vars(module))
            elif block.language == "yaml" and block.file:
                self.write(block)
            else:
                continue
            count += 1
        return count

    def write(self, block: Block) -> None:
        """Write the description that a block shows, and validate it."""
        path = self.folder / str(block.file)
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        load = scrframe.load_combined if is_combined(path) else scrframe.load_survey
        load(path)

    def meant(self, text: str) -> str:
        """Put what is there for what only a reader has."""
        for said, meant in self.stand_ins.items():
            text = text.replace(said, meant)
        return text

    def run(self, command: str, shown: list[str], block: Block) -> None:
        """Run a command in a shell; what the page shows of its answer must be there."""
        command = self.meant(command)
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        expected = 2 if any(line.startswith("error: ") for line in shown) else 0
        assert done.returncode == expected, f"{block}: {command}\n{done.stdout}"
        for line in shown:
            pattern = ".*".join(map(re.escape, line.split("...")))
            assert re.search(f"^{pattern}$", done.stdout, re.M), f"{block}: {line}\n{done.stdout}"
        if self.small and command.startswith("scrframe surveys copy"):
            shrink(self.folder / "surveys")

    def environment(self) -> dict[str, str]:
        """Return an environment in which `scrframe` is that of this Python."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}


def shrink(folder: Path, report: bool = False) -> None:
    """Change the descriptions in a folder so that a run of them takes seconds."""
    for path in folder.glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        described = parse_yaml(text, str(path), {}).data  # in which `on` is a word
        if "members" in described or "bands" in described:
            continue
        size = {"fields": 2, "other_sources": 0.2, "seed": 3}
        described["simulation"] = {"density": 1000.0, **(described.get("simulation") or {}), **size}
        if described["colour_model"]["kind"] == "gaussian_process":
            described["colour_model"]["kind"] = "ridge"
        described["colour_model"]["random_forest"] = {"trees": 10, "min_samples_leaf": 3}
        if "reddening" in described:
            described["reddening"] |= {"order": 2, "extinction_order": 0}
        offsets = described["offsets"]
        offsets.setdefault("joint", {})["max_rounds"] = 4
        offsets["min_stars"] = 3
        for level in offsets["levels"]:
            if level["kind"] == "bin":
                level["size"] = "1025 pix"
        described["report"] = {"enabled": report}
        described["montecarlo"] = {"realisations": 2}
        path.write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")


def marked() -> Iterator[Block]:
    """Yield the blocks that say why they do not run."""
    for page in PAGES:
        yield from (block for block in blocks_of(page) if block.reason is not None)
