"""A small registry for tests of descriptions; none of its plugins can run."""

from typing import Literal

import pluggy
from pydantic import ConfigDict, Field

from scrframe.plugin import (
    ColourModel,
    Correction,
    Diagnostic,
    ExtinctionCatalogue,
    ExtinctionCurve,
    OffsetLevel,
    PluginConfig,
    ReferenceCatalogue,
    Registry,
    SurveyLoader,
    Writer,
    hookimpl,
    hookspecs,
)
from scrframe.plugin.registry import BrokenPlugin, Provider
from scrframe.tables import Column
from scrframe.units import quantity


class LoaderConfig(PluginConfig):
    catalogues: str = "catalogues/*.fits"
    aperture: int = Field(3, ge=1, le=7)
    note: str = ""


class NestedConfig(PluginConfig):
    path: str = "source"


class ReferenceConfig(PluginConfig):
    source: NestedConfig = NestedConfig()


class TableConfig(PluginConfig):
    path: str


class ForestConfig(PluginConfig):
    trees: int = Field(100, ge=1)


class BoostConfig(PluginConfig):
    rate: float = 0.1
    loss: Literal["l1", "l2"] = "l2"


class GroupConfig(PluginConfig):
    by: tuple[str, ...]


class BinConfig(GroupConfig):
    size: quantity("pix") = Field("256 pix")


def unused(*_):
    raise AssertionError("a description needs no plugin's work")


class AnyConfig(PluginConfig):
    """Takes what the built-in kinds of the default levels and candidates take."""

    model_config = ConfigDict(extra="allow")


def needs_group(config):
    return config.by


def needs_bin(config):
    return (*config.by, "x", "y")


def _common(name, config=PluginConfig):
    return {"name": name, "summary": name, "version": "1", "config": config}


class FakePlugin:
    @hookimpl
    def scrframe_survey_loaders(self):
        columns = ("classification", "airmass")
        own = (Column("sharpness", "", "float64", "Own.", "detection"),)
        yield SurveyLoader(
            **_common("tiles", LoaderConfig),
            parts=unused,
            read=unused,
            columns=columns,
            own_columns=own,
        )

    @hookimpl
    def scrframe_reference_catalogues(self):
        parts = dict.fromkeys(
            ("source_parts", "read_sources", "feature_parts", "read_features"), unused
        )
        columns = ("bp_mag", "rp_mag", "phot_bp_rp_excess_factor")
        correction = Correction(**_common("by_table", TableConfig))
        yield ReferenceCatalogue(
            **_common("stars", ReferenceConfig),
            provides="spectra",
            columns=columns,
            corrections=(correction,),
            **parts,
        )
        yield ReferenceCatalogue(**_common("bare"), provides="parameters", columns=(), **parts)

    @hookimpl
    def scrframe_extinction_catalogues(self):
        yield ExtinctionCatalogue(
            **_common("dust"), parts=unused, read=unused, columns=("quality_flags",)
        )

    @hookimpl
    def scrframe_extinction_curves(self):
        yield ExtinctionCurve(**_common("dust"), curve=unused)

    @hookimpl
    def scrframe_colour_models(self):
        yield ColourModel(**_common("forest", ForestConfig), fit=unused)
        yield ColourModel(**_common("boost", BoostConfig), fit=unused)

    @hookimpl
    def scrframe_offset_levels(self):
        yield OffsetLevel(
            **_common("group", GroupConfig), prepare=unused, restore=unused, needs=needs_group
        )
        yield OffsetLevel(
            **_common("bin", BinConfig), prepare=unused, restore=unused, needs=needs_bin
        )
        for kind in ("polynomial", "sky_field", "colour"):
            yield OffsetLevel(
                **_common(kind, AnyConfig), prepare=unused, restore=unused, needs=lambda config: ()
            )

    @hookimpl
    def scrframe_diagnostics(self):
        yield Diagnostic(**_common("spread"), compute=unused)

    @hookimpl
    def scrframe_writers(self):
        yield Writer(**_common("fits_catalogue"), write=unused)


def fake_registry():
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    registry = Registry(manager)
    registry.add(FakePlugin(), Provider("fake", "tests", __name__))
    registry.broken.append(
        BrokenPlugin(Provider("lost", "tests", "lost"), "ImportError: no module named lost")
    )
    return registry
