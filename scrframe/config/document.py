"""YAML text to plain data that remembers where each key and value stands.

The YAML subset is deliberately small: no tags, anchors or aliases, no duplicate keys, and
plain scalars as in YAML 1.2 (only true and false are booleans, 1e-3 is a number).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from scrframe.errors import ConfigError

#: Where a key or value stands in the data: keys of mappings, indices of lists.
KeyPath = tuple[str | int, ...]

#: What unquoted text means, by its form; anything else is text.
_PLAIN: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile(r"~|null|Null|NULL|"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (
        re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
        lambda text: float(text.replace(".", "")),
    ),
)
_SEXAGESIMAL = re.compile(r"[-+]?[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?")
_VARIABLE = re.compile(r"\$(\$?)\{([^}]*)\}")
_VARIABLE_BODY = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)

_TOKENS = {
    yaml.TagToken: "YAML tags are not allowed",
    yaml.AnchorToken: "YAML anchors are not allowed",
    yaml.AliasToken: "YAML aliases are not allowed",
    yaml.DirectiveToken: "YAML directives are not allowed",
}
#: No description comes near it; the parser's own limit is far slower to reach.
MAX_DEPTH = 50
_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


@dataclass
class Document:
    """Plain data and the origin of each of its nodes."""

    #: What the text says.
    data: Any
    #: What messages call the text (the file as the user named it).
    source: str
    #: Origin (``file:line:column``, or the command-line option) of each key and value.
    keys: dict[KeyPath, str] = field(default_factory=dict)
    values: dict[KeyPath, str] = field(default_factory=dict)

    def origin(self, path: KeyPath, *, of_key: bool = False) -> str:
        """Return the origin of a node, or of the nearest node that holds it."""
        if of_key and path in self.keys:
            return self.keys[path]
        while path not in self.values and path:
            path = path[:-1]
        return self.values.get(path, self.source)

    def rename(self, path: KeyPath, old: str, new: str) -> None:
        """Give a key of the mapping at a path another name; a later key of the new name goes."""
        node = self.data
        for step in path:
            node = node[step]
        items = [(new if key == old else key, value) for key, value in node.items() if key != new]
        node.clear()
        node.update(items)
        self.forget((*path, new))
        length = len(path) + 1
        for origins in (self.keys, self.values):
            for known in [known for known in origins if known[:length] == (*path, old)]:
                origins[*path, new, *known[length:]] = origins.pop(known)

    def forget(self, path: KeyPath) -> None:
        """Drop the origins of what is replaced, at and below a path."""
        for origins in (self.keys, self.values):
            for known in [known for known in origins if known[: len(path)] == path]:
                del origins[known]


def parse_yaml(text: str, source: str, environ: Mapping[str, str]) -> Document:
    """Parse YAML text; ``${NAME}`` and ``${NAME:-default}`` in it stand for variables.

    Raises ConfigError with ``source:line:column`` if the text is not in the subset of YAML.
    """
    return _parse(text, source, environ, lambda mark: f"{source}:{mark.line + 1}:{mark.column + 1}")


def parse_value(text: str, option: str, environ: Mapping[str, str]) -> Any:
    """Parse the YAML value of a command-line option, which messages name.

    Raises ConfigError if the text is not in the subset of YAML.
    """
    return _parse(text, option, environ, lambda _: option).data


def _parse(
    text: str, source: str, environ: Mapping[str, str], place: Callable[[yaml.Mark], str]
) -> Document:
    try:
        _refuse_tokens(text, place)
        node = yaml.compose(text, Loader=yaml.BaseLoader)
        reader = _Reader(Document(None, source), environ, place)
        reader.document.data = None if node is None else reader.node(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = source if mark is None else place(mark)
        said = " ".join(filter(None, (error.context, error.problem)))
        raise ConfigError(f"{where}: is not valid YAML: {said}") from None
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"{source}: is not valid YAML: {said}") from None
    return reader.document


def _refuse_tokens(text: str, place: Callable[[yaml.Mark], str]) -> None:
    depth = 0
    for token in yaml.scan(text, Loader=yaml.BaseLoader):
        if type(token) in _TOKENS:
            raise ConfigError(f"{place(token.start_mark)}: {_TOKENS[type(token)]}")
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > MAX_DEPTH:
            raise ConfigError(f"{place(token.start_mark)}: is nested too deeply")


@dataclass
class _Reader:
    document: Document
    environ: Mapping[str, str]
    place: Callable[[yaml.Mark], str]

    def node(self, node: yaml.Node, path: KeyPath) -> Any:
        self.document.values[path] = self.place(node.start_mark)
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.node(item, (*path, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self.scalar(node)

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            where = self.place(key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{where}: a key must be a name")
            key = key_node.value
            if key in result:
                first = self.document.keys[*path, key]
                raise ConfigError(f'{where}: duplicate key "{key}" (first at {first})')
            self.document.keys[*path, key] = where
            result[key] = self.node(value_node, (*path, key))
        return result

    def scalar(self, node: yaml.ScalarNode) -> Any:
        try:
            value = node.value if node.style is not None else _plain(node.value)
            return _VARIABLE.sub(self.variable, value) if isinstance(value, str) else value
        except ValueError as error:
            raise ConfigError(f"{self.place(node.start_mark)}: {error}") from None

    def variable(self, match: re.Match[str]) -> str:
        escaped, body = match.groups()
        if escaped:
            return match.group(0)[1:]
        parts = _VARIABLE_BODY.fullmatch(body)
        if parts is None:
            raise ValueError(
                f'"{match.group(0)}" is not a variable; write ${{NAME}} or ${{NAME:-x}}'
            )
        name, default = parts.groups()
        # As in a shell, an empty variable counts as unset where there is a default.
        value = self.environ.get(name)
        if default is not None and not value:
            return default
        if value is None:
            raise ValueError(
                f"the environment variable {name} is not set; set it or write ${{{name}:-default}}"
            )
        return value


def _plain(text: str) -> Any:
    if _SEXAGESIMAL.fullmatch(text):
        raise ValueError(f'"{text}" is a base-60 number to some YAML readers; put it in quotes')
    for pattern, convert in _PLAIN:
        if pattern.fullmatch(text):
            return convert(text)
    return text


def escape(value: Any) -> Any:
    """Return data in which text is written so that parsing it gives the text back."""
    if isinstance(value, dict):
        return {key: escape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [escape(item) for item in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: "$" + match.group(0), value)
    return value


def reads_as_text(text: str) -> bool:
    """Return whether a plain (unquoted) scalar would be read back as this text."""
    try:
        return isinstance(_plain(text), str)
    except ValueError:
        return False
