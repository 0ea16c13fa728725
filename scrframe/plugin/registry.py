"""The registry: installed plugins, what they provide, and what is broken and why.

A registry is built and passed down; there is no global one. The built-in plugins come
through the same entry points as any other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

import pluggy

from scrframe.errors import PluginError, did_you_mean
from scrframe.plugin import hookspecs
from scrframe.plugin.archive import Archive
from scrframe.plugin.descriptors import (
    ColourModel,
    Descriptor,
    Diagnostic,
    ExtinctionCatalogue,
    ExtinctionCurve,
    OffsetLevel,
    ReferenceCatalogue,
    SurveyLoader,
    Writer,
)

D = TypeVar("D", bound=Descriptor)

#: Group of the entry points through which plugins are found.
ENTRY_POINTS = "scrframe"
#: What each hook yields: the hook, the descriptor type, and its name for people.
HOOKS: dict[str, tuple[type[Descriptor], str]] = {
    "scrframe_survey_loaders": (SurveyLoader, "survey loader"),
    "scrframe_reference_catalogues": (ReferenceCatalogue, "reference catalogue"),
    "scrframe_extinction_catalogues": (ExtinctionCatalogue, "extinction catalogue"),
    "scrframe_extinction_curves": (ExtinctionCurve, "extinction curve"),
    "scrframe_colour_models": (ColourModel, "colour model"),
    "scrframe_offset_levels": (OffsetLevel, "offset level"),
    "scrframe_diagnostics": (Diagnostic, "diagnostic"),
    "scrframe_writers": (Writer, "writer"),
    "scrframe_archives": (Archive, "archive"),
}
_HOOK_OF: dict[type[Descriptor], str] = {kind: hook for hook, (kind, _) in HOOKS.items()}
#: The hook that yields each kind of plugin, by its short name in commands and tests.
KINDS: dict[str, str] = {
    "survey": "scrframe_survey_loaders",
    "reference": "scrframe_reference_catalogues",
    "extinction": "scrframe_extinction_catalogues",
    "curve": "scrframe_extinction_curves",
    "colour-model": "scrframe_colour_models",
    "offset-level": "scrframe_offset_levels",
    "diagnostic": "scrframe_diagnostics",
    "writer": "scrframe_writers",
    "archive": "scrframe_archives",
}


def hook_of(kind: str) -> str:
    """Return the hook of a kind; raises PluginError if there is no such kind."""
    if kind not in KINDS:
        near = did_you_mean(kind, KINDS)
        raise PluginError(f"there is no kind {kind!r}{near} (kinds: {', '.join(KINDS)})")
    return KINDS[kind]


@dataclass(frozen=True)
class Provider:
    """Where a plugin comes from: its entry point and the distribution that holds it."""

    plugin: str
    distribution: str
    module: str


@dataclass(frozen=True)
class BrokenPlugin:
    """A plugin that could not be used, and why."""

    provider: Provider
    reason: str


@dataclass
class Registry:
    """Descriptors by hook and name.

    Attributes
    ----------
    manager : pluggy.PluginManager
        The plugins that loaded; also calls the observing hook.
    broken : list of BrokenPlugin
        Those that did not.
    """

    manager: pluggy.PluginManager
    broken: list[BrokenPlugin] = field(default_factory=list)
    _found: dict[str, dict[str, tuple[Descriptor, Provider]]] = field(default_factory=dict)

    def get(self, kind: type[D], name: str) -> D:
        """Return the descriptor of this kind and name.

        Raises PluginError if no plugin provides it; the message names near misses and broken
        plugins.
        """
        hook = _HOOK_OF[kind]
        entry = self._found.get(hook, {}).get(name)
        if entry is None:
            raise PluginError(self._unknown(hook, name))
        descriptor = entry[0]
        assert isinstance(descriptor, kind)
        return descriptor

    def names(self, kind: type[Descriptor]) -> list[str]:
        """Return the names provided for one kind of descriptor, sorted."""
        return sorted(self._found.get(_HOOK_OF[kind], {}))

    def provider(self, kind: type[Descriptor], name: str) -> Provider:
        """Return who provides a descriptor."""
        return self._found[_HOOK_OF[kind]][name][1]

    def everything(self) -> list[tuple[str, Descriptor, Provider]]:
        """Return (hook, descriptor, provider) of all that is installed, in order."""
        return [
            (hook, descriptor, provider)
            for hook in HOOKS
            for _, (descriptor, provider) in sorted(self._found.get(hook, {}).items())
        ]

    def step_done(self, step: str, result: Any) -> list[str]:
        """Call the plugins that observe finished steps; return a line for each that failed.

        A failure does not stop a run.
        """
        manager, name, failed = self.manager, "scrframe_step_done", []
        plugins = [
            each.plugin for each in reversed(manager.hook.scrframe_step_done.get_hookimpls())
        ]
        for plugin in plugins:
            others = [other for other in plugins if other is not plugin]
            try:
                manager.subset_hook_caller(name, others)(step=step, result=result)
            except Exception as error:  # any failure of foreign code
                failed.append(
                    f"plugin {manager.get_name(plugin)!r} failed when the step {step!r} was done"
                    f" ({_reason(error)}); the run goes on"
                )
        return failed

    def add(self, plugin: object, provider: Provider) -> None:
        """Register one plugin's hook implementations; all that it yields, or nothing.

        Raises PluginError if the plugin breaks a hook's contract or takes a name that is taken.
        """
        if self.manager.has_plugin(provider.plugin):
            raise PluginError(
                f"plugin {provider.plugin!r} of {provider.distribution}: another one has the same"
                " name; uninstall one of them"
            )
        taken = {hook: dict(names) for hook, names in self._found.items()}
        try:
            self.manager.register(plugin, name=provider.plugin)
            self.manager.check_pending()
            for hook in HOOKS:
                for descriptor in self._yielded(hook, provider):
                    _enter(taken.setdefault(hook, {}), hook, descriptor, provider)
        except Exception as error:
            if self.manager.is_registered(plugin):
                self.manager.unregister(plugin)
            if isinstance(error, (pluggy.PluginValidationError, ValueError)):
                raise PluginError(f"plugin {provider.plugin!r}: {error}") from None
            raise
        self._found = taken

    def _yielded(self, hook: str, provider: Provider) -> list[Descriptor]:
        kind, label = HOOKS[hook]
        found: list[Descriptor] = []
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            if implementation.plugin_name != provider.plugin:
                continue
            result = implementation.function()
            if not isinstance(result, Iterable):
                raise PluginError(f"plugin {provider.plugin!r}: {hook} must yield descriptors")
            for descriptor in result:
                if not isinstance(descriptor, kind):
                    raise PluginError(
                        f"plugin {provider.plugin!r}: {hook} must yield {kind.__name__}"
                        f" ({label}), not {type(descriptor).__name__}"
                    )
                found.append(descriptor)
        return found

    def _unknown(self, hook: str, name: str) -> str:
        label = HOOKS[hook][1]
        known = sorted(self._found.get(hook, {}))
        installed = ", ".join(known) or "none"
        near = did_you_mean(name, known)
        message = f'no {label} is called "{name}"{near} (installed: {installed})'
        for broken in self.broken:
            message += f"; plugin {broken.provider.plugin!r} is broken: {broken.reason}"
        return message


def _enter(
    taken: dict[str, tuple[Descriptor, Provider]],
    hook: str,
    descriptor: Descriptor,
    provider: Provider,
) -> None:
    """Enter a descriptor among those of its hook, unless its name is taken."""
    label, name = HOOKS[hook][1], descriptor.name
    if name in taken:
        other = taken[name][1]
        if other == provider:
            raise PluginError(f"plugin {provider.plugin!r} yields two of name {name!r} ({label})")
        raise PluginError(
            f"{label} {name!r} is provided twice: by {other.plugin!r} ({other.distribution}) and"
            f" by {provider.plugin!r} ({provider.distribution}); uninstall one of them"
        )
    taken[name] = (descriptor, provider)


def load_registry() -> Registry:
    """Build a registry of all installed plugins.

    A plugin that fails to import or breaks its contract is listed as broken.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    registry = Registry(manager)
    for point in sorted(entry_points(group=ENTRY_POINTS), key=_builtin_first):
        provider = Provider(point.name, _distribution(point), point.module)
        try:
            registry.add(point.load(), provider)
        except Exception as error:  # any failure of foreign code is a broken plugin
            registry.broken.append(BrokenPlugin(provider, _reason(error)))
    return registry


def _builtin_first(point: EntryPoint) -> tuple[bool, str]:
    return (_distribution(point) != "scrframe", point.name)


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "unknown"


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, PluginError) else f"{type(error).__name__}: {text}"
