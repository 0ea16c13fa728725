"""What `scrframe explain` prints: why a visit, a CCD or a star has its offset."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from scrframe.cli.explained_ccd import ccd_pieces
from scrframe.cli.explained_star import star_pieces
from scrframe.cli.explained_visit import visit_pieces

if TYPE_CHECKING:
    from scrframe.pipeline.explain import Explanation

#: Width of the text in a file or pipe, in characters.
WIDE = 130
#: What each kind of explanation consists of.
PIECES = {
    "visit": visit_pieces,
    "exposure": visit_pieces,
    "ccd": ccd_pieces,
    "star": star_pieces,
}


def explanation_text(found: Explanation, terminal: bool) -> str:
    """Return an explanation as text, with colours if it is for a terminal."""
    pieces = PIECES[found.kind](found.facts)
    page = io.StringIO()
    console = Console(
        file=page,
        force_terminal=terminal,
        width=None if terminal else WIDE,
        markup=False,
        highlight=False,
    )
    for piece in pieces:
        console.print(Text(piece) if isinstance(piece, str) else piece)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def explanation_json(found: Explanation) -> str:
    """Return the same as JSON."""
    return json.dumps(found.facts, indent=2, ensure_ascii=False, allow_nan=False)
