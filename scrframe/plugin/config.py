"""The base of every block of settings, the core's and a plugin's own."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class PluginConfig(BaseModel):
    """Settings that a plugin owns: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class NoConfig(PluginConfig):
    """Settings of a plugin that has none."""
