"""Short names of the kinds of plugins, one for each hook, for commands and tests."""

from __future__ import annotations

from scrframe.errors import PluginError
from scrframe.tables.names import did_you_mean

#: Kind of plugin: the hook that yields it.
KINDS: dict[str, str] = {
    "survey": "scrframe_survey_loaders",
    "reference": "scrframe_reference_catalogues",
    "extinction": "scrframe_extinction_catalogues",
    "curve": "scrframe_extinction_curves",
    "colour-model": "scrframe_colour_models",
    "offset-level": "scrframe_offset_levels",
    "diagnostic": "scrframe_diagnostics",
    "writer": "scrframe_writers",
}


def hook_of(kind: str) -> str:
    """Return the hook of a kind.

    Raises
    ------
    PluginError
        If there is no such kind.
    """
    if kind not in KINDS:
        near = did_you_mean(kind, KINDS)
        raise PluginError(f"there is no kind {kind!r}{near} (kinds: {', '.join(KINDS)})")
    return KINDS[kind]
