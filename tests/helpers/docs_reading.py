"""Pages of the documentation as text: their sections, tables and blocks of code."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
SHIPPED = DOCS.parent / "surveys" / "vphas_u.yaml"


def sections(page: Path) -> dict[str, str]:
    """Return the text below each heading of a page, up to the next heading."""
    found: dict[str, str] = {}
    title, inside = "", False
    for line in page.read_text(encoding="utf-8").splitlines():
        inside ^= line.lstrip().startswith("```")
        heading = None if inside else re.fullmatch(r"#+ (.*)", line)
        if heading:
            title = heading.group(1)
            found[title] = ""
        elif title:
            found[title] += line + "\n"
    return found


def table(text: str) -> list[dict[str, str]]:
    """Return the first table of a text as rows by column title, without code marks."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]
    header, body = rows[0], rows[2:]
    return [dict(zip(header, row, strict=True)) for row in body]


def blocks(text: str) -> list[str]:
    """Return the Python code of a text, block by block."""
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
