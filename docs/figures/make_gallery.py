"""Draw the gallery: figures of a run's report as small pictures, and the page that shows them.

    scrframe calibrate surveys/vphas_u.yaml --out runs/sample
    python docs/figures/make_gallery.py runs/sample

Titles, captions and text alternatives are the figures' own.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from scrframe.products.finished_run import open_run
from scrframe.products.run_data import RunData
from scrframe.report.figure import UNDATED, FigureProduct
from scrframe.report.figures.drawing import DRAWINGS
from scrframe.report.style import house_style

HERE = Path(__file__).parent
PICTURES, PAGE = HERE / "gallery", HERE.parent / "how-to" / "gallery.md"
#: Figures of the report that are shown, by number, and dots per inch.
SHOWN, DPI = (16, 3, 4, 5, 7, 10, 12, 13), 110
MARKS = "<!-- by docs/figures/make_gallery.py -->", "<!-- end -->"


def gallery(data: RunData, pictures: Path) -> str:
    """Draw what a run can show into a folder, and return the text of the page about it."""
    parts = []
    for number in SHOWN:
        product = DRAWINGS[number](data)
        if product is not None:
            with house_style():
                path = pictures / f"{product.name}.png"
                product.figure.savefig(path, dpi=DPI, metadata=UNDATED["png"])
            parts.append(shown(number, product))
    return "\n".join(parts)


def shown(number: int, product: FigureProduct) -> str:
    """Return a figure's title, picture and caption as Markdown."""
    picture = f"![{_plain(product.alt)}](../figures/gallery/{product.name}.png)"
    return f"## {product.title} ({number})\n\n{picture}\n\n{_plain(product.caption)}\n"


def _plain(text: str) -> str:
    """Return text without what Markdown would take for a link, code or emphasis."""
    return re.sub(r"([\[\]`*_<>])", r"\\\1", " ".join(text.split()))


def main() -> None:
    """Draw, and write the page between its marks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    options = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    begin, end = MARKS
    made = f"{begin}\n\n{gallery(open_run(options.run).data(), PICTURES)}\n{end}"
    page = PAGE.read_text(encoding="utf-8")
    page = re.sub(f"{begin}.*?{end}", lambda _: made, page, flags=re.DOTALL)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
