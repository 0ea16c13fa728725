"""Cuts: comparisons of columns, written as text, judged by Arrow's expression engine.

The grammar is a small part of Python's (its parser is used, nothing is ever evaluated by
Python): numbers, column names, ``+ - * / **``, unary minus, ``abs()``, comparisons (also
chained), ``and``, ``or``, ``not``, and text in comparisons with label columns.
An `Expression` is the arithmetic alone.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scrframe.errors import ConfigError, did_you_mean
from scrframe.tables.columns import BY_NAME, STAGES, Column, Stage
from scrframe.tables.cut_expression import CutSyntaxError, Operand, build, build_number
from scrframe.tables.table import ColumnTable

#: Longer texts are refused: the parser's own limits are not errors but crashes.
MAX_LENGTH = 1000

_OPERANDS: dict[str, Operand] = {"bool": "flag", "category": "label"}


@dataclass(frozen=True)
class _Formula:
    """Text in the language of cuts, read when it is made."""

    text: str

    #: What messages call it, and its value where Arrow gives null.
    _what: ClassVar[str]
    _null: ClassVar[bool | float]

    def __post_init__(self) -> None:
        self._build({})

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns used, each once, in the order of their first use."""
        nodes = (node for node in ast.walk(_tree(self.text)) if isinstance(node, ast.Name))
        ordered = sorted(nodes, key=lambda node: (node.lineno, node.col_offset))
        return tuple(dict.fromkeys(node.id for node in ordered if node.id != "abs"))

    def evaluate(self, table: ColumnTable) -> npt.NDArray[Any]:
        """Return the value of each row of a table, shape (n,).

        Raises ConfigError if the table lacks a column or holds it in a type that the text cannot
        use.
        """
        columns = {name: _column(table, name) for name in self.names}
        operands = {name: _operand(name, column.type) for name, column in columns.items()}
        values = _project(columns, self._build(operands)).fill_null(self._null)
        return np.asarray(values.to_numpy(), dtype=type(self._null))

    def _expression(self, operands: Mapping[str, Operand]) -> pa.compute.Expression:
        raise NotImplementedError

    def _build(self, operands: Mapping[str, Operand]) -> pa.compute.Expression:
        try:
            return self._expression(operands)
        except CutSyntaxError as error:
            problem = str(error)
        except RecursionError:
            problem = "is nested too deeply"
        raise ConfigError(f'{self._what} "{" ".join(self.text.split())}": {problem}')


@dataclass(frozen=True)
class Cut(_Formula):
    """One cut, such as ``mag_err < 0.08``; rows with a null or NaN anywhere in it fail.

    Raises ConfigError if the text is not in the language of cuts.
    """

    _what, _null = "cut", False

    @classmethod
    def parse(cls, text: str) -> Cut:
        """Return the cut that the text describes."""
        return cls(text.strip())

    def __str__(self) -> str:
        return self.text

    def stage(self, own_columns: Iterable[Column] = ()) -> Stage:
        """Return the step of a run after which all columns of the cut exist.

        Cuts may name `own_columns` of plugins besides the vocabulary. Raises ConfigError if a name
        is unknown, or a column is used as what it is not.
        """
        known = {**BY_NAME, **{column.name: column for column in own_columns}}
        for name in self.names:
            if name not in known:
                raise ConfigError(unknown_column(name, known))
        self._build({name: _declared(known[name]) for name in self.names})
        return max((known[name].stage for name in self.names), key=STAGES.index)

    def _expression(self, operands: Mapping[str, Operand]) -> pa.compute.Expression:
        return build(_tree(self.text), operands)


@dataclass(frozen=True)
class Expression(_Formula):
    """Arithmetic on columns, such as ``extinction * colour0``; NaN where it has no value.

    Raises ConfigError if the text is not arithmetic in the language of cuts, or names no column.
    """

    _what, _null = "expression", float("nan")

    def _expression(self, operands: Mapping[str, Operand]) -> pa.compute.Expression:
        return build_number(_tree(self.text), operands)


def unknown_column(name: str, known: Iterable[str]) -> str:
    """Return the message for a name that is no column."""
    names = sorted(known)
    return f'unknown column "{name}"{did_you_mean(name, names)} (known: {", ".join(names)})'


def _project(
    columns: Mapping[str, pa.ChunkedArray], expression: pa.compute.Expression
) -> pa.ChunkedArray:
    """Return the value of an expression in each row."""
    from pyarrow import acero  # noqa: PLC0415 - slow to import

    plan = acero.Declaration.from_sequence(
        [
            acero.Declaration("table_source", acero.TableSourceNodeOptions(pa.table(columns))),
            acero.Declaration("project", acero.ProjectNodeOptions([expression], ["value"])),
        ]
    )
    return plan.to_table(use_threads=False).column("value")


@lru_cache(maxsize=1024)
def _tree(text: str) -> ast.expr:
    if not text.strip():
        raise CutSyntaxError("is empty")
    if len(text) > MAX_LENGTH:
        raise CutSyntaxError(f"is longer than {MAX_LENGTH} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise CutSyntaxError(f"is not an expression ({error.msg})") from None
    except (ValueError, RecursionError, MemoryError):
        raise CutSyntaxError("is not an expression") from None


def _declared(column: Column) -> Operand:
    if column.kind in _OPERANDS:
        return _OPERANDS[column.kind]
    return "integer" if column.kind.startswith("int") else "number"


def _operand(name: str, kind: pa.DataType) -> Operand:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_boolean(kind):
        return "flag"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "label"
    if pa.types.is_signed_integer(kind):
        return "integer"
    if pa.types.is_floating(kind) or pa.types.is_unsigned_integer(kind):
        return "number"
    raise ConfigError(f'column "{name}" of type {kind} cannot be used in a cut')


def _column(table: ColumnTable, name: str) -> pa.ChunkedArray:
    if name not in table:
        raise ConfigError(unknown_column(name, table.names))
    return table.arrow.column(name)
