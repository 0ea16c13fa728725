"""All that the author of a plugin imports (with `scrframe.tables`, `.units`, `.errors`)."""

from scrframe.plugin.archive import (
    Archive,
    ArchivePlan,
    Delivery,
    Piece,
    SourceRanges,
    Wanted,
)
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
    "Archive",
    "ArchivePlan",
    "BrokenPlugin",
    "ChosenCorrection",
    "ColourModel",
    "ColourPrediction",
    "Correction",
    "Delivery",
    "Descriptor",
    "Diagnostic",
    "ExtinctionCatalogue",
    "ExtinctionCurve",
    "FittedColourModel",
    "NoConfig",
    "OffsetLevel",
    "Part",
    "Piece",
    "PluginConfig",
    "ReferenceCatalogue",
    "Registry",
    "Smoother",
    "SourceRanges",
    "SurveyLoader",
    "Wanted",
    "Writer",
    "file_part",
    "hookimpl",
    "hookspec",
    "load_registry",
]
