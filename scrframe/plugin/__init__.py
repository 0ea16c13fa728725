"""All that the author of a plugin imports (with `scrframe.tables`, `.units`, `.errors`)."""

from scrframe.plugin.colour_model import ColourPrediction, FittedColourModel, Smoother
from scrframe.plugin.descriptors import (
    ChosenCorrection,
    ColourModel,
    Correction,
    Descriptor,
    Diagnostic,
    ExtinctionCatalogue,
    ExtinctionCurve,
    NoConfig,
    OffsetLevel,
    Part,
    PluginConfig,
    ReferenceCatalogue,
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
