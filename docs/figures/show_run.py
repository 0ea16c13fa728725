"""Put what a run has printed into the README.

scrframe calibrate surveys/vphas_u.yaml | tee run.log
python docs/figures/show_run.py run.log README.md
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

#: Lines of the beginning that are shown; the closing table follows.
FIRST_LINES = 5


def shown(log: str) -> str:
    """Return the beginning and the end of a run's output."""
    lines = log.splitlines()
    table = next(number for number, line in enumerate(lines) if " band - " in line)
    return "\n".join([*lines[:FIRST_LINES], "...", *lines[table:]])


def main() -> None:
    """Read the arguments and rewrite the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("readme", type=Path)
    arguments = parser.parse_args()
    block = "```text\n" + shown(arguments.log.read_text(encoding="utf-8")) + "\n```"
    text = arguments.readme.read_text(encoding="utf-8")
    pattern = re.compile(r"^```text\n.*?^```", flags=re.DOTALL | re.MULTILINE)
    arguments.readme.write_text(pattern.sub(lambda _: block, text, count=1), encoding="utf-8")


if __name__ == "__main__":
    main()
