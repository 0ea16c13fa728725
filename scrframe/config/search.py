"""The block `colour_model.search`: which settings of a backend are tried, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidationInfo, model_validator
from pydantic_core import InitErrorDetails

from scrframe.config.base import Settings
from scrframe.config.problems import problem, reword, unknown_key
from scrframe.errors import PluginError
from scrframe.plugin import ColourModel, Registry
from scrframe.units import Whole

#: Values of one setting, as they are written in YAML.
Values = Annotated[tuple[Any, ...], Field(min_length=1)]


class SearchSettings(Settings):
    """A search for the backend's settings, by successive halving.

    Candidates are trained on few stars and judged by stars left out; the best go on with
    more stars, until all train. The settings of the description compete too.
    """

    over: Mapping[str, Mapping[str, Values]] = Field(
        description="Values to try, by backend and by the backend's own keys:"
        " `{name: {key: [value, ...]}}`. A backend that is not named keeps its settings.",
    )
    candidates: Whole = Field(
        default=9,
        ge=1,
        description="Combinations that are tried at first, drawn at random; all if there are no"
        " more.",
    )
    folds: Whole = Field(default=3, ge=2, description="Number of folds, by star.")
    factor: Whole = Field(
        default=3,
        ge=2,
        description="By how much the stars grow from round to round, and the candidates shrink.",
    )
    min_stars: Whole = Field(
        default=500, ge=10, description="Fewest training stars of the first round."
    )
    seed: Whole = Field(default=1, ge=0, description="Seed of the draws and of the folds.")

    @model_validator(mode="after")
    def _known(self, info: ValidationInfo) -> SearchSettings:
        registry = (info.context or {}).get("registry")
        problems = list(_problems(self.over, registry)) if registry is not None else []
        if problems:
            raise ValidationError.from_exception_data(type(self).__name__, problems)
        return self


def _problems(
    over: Mapping[str, Mapping[str, Sequence[Any]]], registry: Registry
) -> Iterator[InitErrorDetails]:
    """Yield what the backends refuse of the values."""
    if not over:
        yield problem(("over",), "names no backend; expected `{backend: {key: [values]}}`")
    for name, settings in over.items():
        try:
            backend = registry.get(ColourModel, name)
        except PluginError as error:
            yield problem(("over", name), f"is an unknown key: {error}")
            continue
        known = list(backend.config.model_fields)
        if not settings:
            yield problem(("over", name), "names no key to vary")
        for key, values in settings.items():
            path = ("over", name, key)
            if key not in known:
                yield problem(path, unknown_key(key, known))
                continue
            if any(value in values[:place] for place, value in enumerate(values)):
                yield problem(path, "has the same value twice")
            for place, value in enumerate(values):
                yield from _refused(backend, key, value, (*path, place))


def _refused(
    backend: ColourModel, key: str, value: Any, path: tuple[str | int, ...]
) -> Iterator[InitErrorDetails]:
    """Yield what the backend says of one value; other settings are validated elsewhere."""
    try:
        backend.config.model_validate({key: value})
    except ValidationError as error:
        for each in reword(error, backend.config):
            where = tuple(each.get("loc", ()))
            if where[:1] == (key,):
                yield problem(path + where[1:], str(each["type"]), value)
