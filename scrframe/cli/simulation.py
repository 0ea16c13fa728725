"""Settings of `scrframe simulate`: the description's, changed by options."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from scrframe.config import SimulationSettings
from scrframe.errors import ConfigError


def simulation_settings(
    base: SimulationSettings, fields: int | None, density: float | None, seed: int | None
) -> SimulationSettings:
    """Return the settings with the options that are given.

    Raises
    ------
    ConfigError
        If an option's value is refused.
    """
    options: dict[str, Any] = {"fields": fields, "density": density, "seed": seed}
    changes = {name: value for name, value in options.items() if value is not None}
    try:
        return SimulationSettings.model_validate({**base.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        option = f"--{first['loc'][0]}: " if first["loc"] else ""
        raise ConfigError(f"{option}{first['msg']}") from None
