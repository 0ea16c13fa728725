"""Sphinx settings; parts of the reference are written from the source before each build."""

from __future__ import annotations

import sys
from pathlib import Path

import scrframe

project = "scrframe"
author = copyright = "The scrframe developers"  # noqa: A001 - Sphinx' own name
release = version = scrframe.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "figures/*.py"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = True
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_title = f"scrframe {release}"


def setup(app: object) -> None:
    """Write the generated pages, which the reference includes."""
    sys.path.insert(0, str(Path(__file__).parent))
    from generate import write_all  # noqa: PLC0415 - from this folder

    write_all(Path(__file__).parent / "_build" / "generated")
