"""All that the author of a plugin imports (with `scrframe.tables`, `.units`, `.errors`)."""

from scrframe.plugin.config import NoConfig, PluginConfig
from scrframe.plugin.descriptors import (
    ChosenCorrection,
    ColourModel,
    ColourPrediction,
    Correction,
    Descriptor,
    Diagnostic,
    ExtinctionCatalogue,
    ExtinctionCurve,
    FittedColourModel,
    OffsetLevel,
    Part,
    ReferenceCatalogue,
    Smoother,
    SurveyLoader,
    Writer,
    file_part,
)
from scrframe.plugin.hookspecs import hookimpl, hookspec
from scrframe.plugin.registry import BrokenPlugin, Registry, load_registry

__all__ = [
    "BrokenPlugin",
    "ChosenCorrection",
    "ColourModel",
    "ColourPrediction",
    "Correction",
    "Descriptor",
    "Diagnostic",
    "ExtinctionCatalogue",
    "ExtinctionCurve",
    "FittedColourModel",
    "NoConfig",
    "OffsetLevel",
    "Part",
    "PluginConfig",
    "ReferenceCatalogue",
    "Registry",
    "Smoother",
    "SurveyLoader",
    "Writer",
    "file_part",
    "hookimpl",
    "hookspec",
    "load_registry",
]
