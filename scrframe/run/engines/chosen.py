"""Which scheduler a user has chosen for all runs: the environment, else a file of settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from scrframe.errors import ConfigError

#: Address of a scheduler, or ``local:N``.
VARIABLE = "SCRFRAME_SCHEDULER"
#: The file of settings; by default ``settings.yaml`` in the user's folder of configurations.
FILE_VARIABLE = "SCRFRAME_SETTINGS"


def settings_file() -> Path:
    """Return the user's file of settings, which need not exist."""
    named = os.environ.get(FILE_VARIABLE)
    if named:
        return Path(named).expanduser()
    from platformdirs import user_config_path  # noqa: PLC0415 - only here

    return user_config_path("scrframe") / "settings.yaml"


def chosen_scheduler() -> str | None:
    """Return the scheduler of the environment, else of the settings (``run.scheduler``).

    An empty variable asks for none. Raises ConfigError if the file is no such settings.
    """
    named = os.environ.get(VARIABLE)
    if named is not None:
        return named or None
    path = settings_file()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path}: cannot be read as settings: {reason}") from None
    return _scheduler_in(content, path)


def _scheduler_in(content: Any, path: Path) -> str | None:
    """Return ``run.scheduler``; raises ConfigError if anything else stands there."""
    run = content.get("run", {}) if isinstance(content, dict) else None
    fits = isinstance(run, dict) and set(content) <= {"run"} and set(run) <= {"scheduler"}
    named = run.get("scheduler", "") if isinstance(run, dict) else None
    if not fits or not isinstance(named, str):
        raise ConfigError(
            f"{path}: settings hold one key, run.scheduler, the address of a scheduler as a text"
        )
    return named or None
