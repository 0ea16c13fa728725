"""Blocks: `kind:` names a plugin, core keys stay, a plugin's own keys sit under its name.

All plugins' keys that are present are validated, also those of a `kind` not chosen, so
that switching `kind` needs no other edit. Validation needs the registry, which comes in
pydantic's context: ``Model.model_validate(data, context={"registry": registry})``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    SerializationInfo,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails

from scrframe.config import base
from scrframe.config.document import Document, KeyPath
from scrframe.errors import ConfigError, PluginError
from scrframe.plugin import Descriptor, PluginConfig, Registry

#: Pydantic's context: "registry", and below a reference block the chosen "catalogue".
Context = dict[str, Any]


class PluginBlock(base.Settings):
    """A block that names a plugin."""

    hidden_fields: ClassVar[frozenset[str]] = frozenset({"plugins"})
    descriptor: ClassVar[type[Descriptor]]

    kind: str = Field(description="Name of the plugin; `scrframe plugins list` shows all.")
    #: Validated settings, by plugin: those of `kind`, and others that the text holds.
    plugins: Mapping[str, SerializeAsAny[PluginConfig]] = Field(default_factory=dict, repr=False)

    @property
    def settings(self) -> PluginConfig:
        """The settings of the chosen plugin."""
        return self.plugins[self.kind]

    @classmethod
    def choices(cls, context: Context) -> dict[str, Descriptor]:
        """Return the descriptors that `kind` can name."""
        registry: Registry = context["registry"]
        return {name: registry.get(cls.descriptor, name) for name in registry.names(cls.descriptor)}

    @classmethod
    def unknown_kind(cls, kind: str, context: Context) -> str:
        """Return the message for a kind that is not installed."""
        try:
            context["registry"].get(cls.descriptor, kind)
        except PluginError as error:
            return str(error)
        raise AssertionError(kind)

    @classmethod
    def enter(cls, data: dict[str, Any], context: Context) -> None:
        """Note in the context what blocks below this one need."""

    @classmethod
    def core_keys(cls) -> list[str]:
        """Return the keys of the block that belong to no plugin."""
        return [name for name in cls.model_fields if name not in cls.hidden_fields]

    @model_validator(mode="wrap")
    @classmethod
    def _with_plugins(
        cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        context: Context = info.context or {}
        if "registry" not in context or not isinstance(data, dict):
            return handler(data)
        cls.enter(data, context)
        plugins, problems = cls._plugins(data, context)
        core = {key: data[key] for key in cls.core_keys() if key in data}
        try:
            block = handler({**core, "plugins": plugins})
        except ValidationError as error:
            problems = [*base.reword(error, cls), *problems]
        if problems:
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return block

    @classmethod
    def _plugins(
        cls, data: dict[str, Any], context: Context
    ) -> tuple[dict[str, PluginConfig], list[InitErrorDetails]]:
        choices, kind, core = cls.choices(context), data.get("kind"), cls.core_keys()
        found: dict[str, PluginConfig] = {}
        problems: list[InitErrorDetails] = []
        if isinstance(kind, str) and kind not in choices:
            problems.append(base.problem(("kind",), cls.unknown_kind(kind, context), kind))
        for key in data:
            if key not in core and key not in choices:
                problems.append(base.problem((key,), base.unknown_key(key, [*core, *choices])))
        for name, descriptor in choices.items():
            if name in data or name == kind:
                # An empty block, "name:" alone, means the defaults.
                given = data.get(name)
                settings, wrong = _validated(descriptor, {} if given is None else given, (name,))
                found.update(settings)
                problems.extend(wrong)
        return found, problems

    @model_serializer(mode="wrap")
    def _flat(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        return {**{k: v for k, v in written.items() if k != "plugins"}, **written["plugins"]}


def _validated(
    descriptor: Descriptor, given: Any, path: KeyPath, also_known: Sequence[str] = ()
) -> tuple[dict[str, PluginConfig], list[InitErrorDetails]]:
    """Return a plugin's settings by its name, or what is wrong with them."""
    try:
        return {descriptor.name: descriptor.config.model_validate(given)}, []
    except ValidationError as error:
        return {}, base.reword(error, descriptor.config, path, also_known)


class FlatBlock(PluginBlock):
    """A block in which the plugin's own keys are not set apart from the core's."""

    @classmethod
    def _plugins(
        cls, data: dict[str, Any], context: Context
    ) -> tuple[dict[str, PluginConfig], list[InitErrorDetails]]:
        choices, kind, core = cls.choices(context), data.get("kind"), cls.core_keys()
        if not isinstance(kind, str):
            return {}, []
        if kind not in choices:
            return {}, [base.problem(("kind",), cls.unknown_kind(kind, context), kind)]
        own = {key: data[key] for key in data if key not in core}
        return _validated(choices[kind], own, (), core)

    @model_serializer(mode="wrap")
    def _flat(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        own = written.pop("plugins")
        return {**written, **own[self.kind]}


def rename_keys(
    document: Document, model: type[Any], registry: Registry, *, options: bool = False
) -> list[str]:
    """Give keys of earlier versions their present names, and return a warning for each.

    Parameters
    ----------
    document : Document
        Changed in place.
    model : type
        Of the whole document; models say by `renamed_keys` what was called otherwise.
    registry : Registry
        The plugins, whose blocks are searched too.
    options : bool
        Whether old names can only come from options, which override what the text says.

    Raises
    ------
    ConfigError
        If the text holds an old key and its present name.
    """
    context: Context = {"registry": registry}
    return list(_renamed(document, document.data, model, (), context, options))


def _renamed(
    document: Document, node: Any, model: type[Any], path: KeyPath, context: Context, options: bool
) -> Iterator[str]:
    if isinstance(node, list):
        for number, item in enumerate(node):
            yield from _renamed(document, item, model, (*path, number), context, options)
    if not isinstance(node, dict):
        return
    for old, new in getattr(model, "renamed_keys", {}).items():
        if old in node:
            where = document.origin((*path, old), of_key=True)
            text = f"{where}: {base.dotted(document, (*path, old))} is called {new} now"
            if new in node and not options:
                raise ConfigError(f"{text}, and both are given; remove {old}")
            document.rename(path, old, new)
            yield f"{text}; the old name still works, but will be removed"
    inner = [
        (key, each) for key, kind in base.key_types(model).items() for each in base.models_in(kind)
    ]
    if issubclass(model, PluginBlock):
        model.enter(node, context)
        inner += [(name, each.config) for name, each in model.choices(context).items()]
    for key, block in inner:
        if key in node:
            yield from _renamed(document, node[key], block, (*path, key), context, options)
    if issubclass(model, FlatBlock):
        kind = model.choices(context).get(str(node.get("kind")))
        if kind is not None:
            yield from _renamed(document, node, kind.config, path, context, options)
