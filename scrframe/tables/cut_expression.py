"""From the syntax tree of a cut, or of plain arithmetic, to an expression of Arrow's engine.

Every value that the expression reads or computes is also tested for null and NaN, since
the engine would let some of them pass (``not (NaN > 1)`` is true, ``NaN ** 0`` is 1).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

#: What a column can stand for in a cut.
Operand = Literal["number", "integer", "label", "flag"]

_ARITHMETIC: dict[type[ast.operator], Callable[..., pc.Expression]] = {
    ast.Add: pc.add,
    ast.Sub: pc.subtract,
    ast.Mult: pc.multiply,
    ast.Div: pc.divide,
    ast.Pow: pc.power,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[..., pc.Expression]] = {
    ast.Lt: pc.less,
    ast.LtE: pc.less_equal,
    ast.Gt: pc.greater,
    ast.GtE: pc.greater_equal,
    ast.Eq: pc.equal,
    ast.NotEq: pc.not_equal,
}
_NAMES: dict[Operand, str] = {
    "number": "a number",
    "integer": "a number",
    "label": "a label",
    "flag": "true or false",
}
_MAX_INTEGER = 2**63 - 1


class CutSyntaxError(ValueError):
    """The text is not in the language of cuts."""


def build(tree: ast.expr, operands: Mapping[str, Operand]) -> pc.Expression:
    """Return the expression that is true where a row of a cut's syntax tree passes.

    `operands` say what each column is; one that is not listed may be anything. Raises
    CutSyntaxError if the tree holds what the language does not, or a column is used as what it is
    not.
    """
    builder = _Builder(operands)
    passes = builder.logical(tree)
    if not builder.names:
        raise CutSyntaxError("names no column")
    for valid in builder.valid:
        passes = pc.and_kleene(passes, valid)
    return passes


def build_number(tree: ast.expr, operands: Mapping[str, Operand]) -> pc.Expression:
    """Return the expression of a number that a syntax tree of arithmetic on columns makes.

    It is NaN where a column that it reads, or the base or exponent of a power, is null or NaN.
    Operands and errors are those of `build`.
    """
    builder = _Builder(operands)
    value = builder.number(tree)
    if not builder.names:
        raise CutSyntaxError("names no column")
    valid = builder.valid[0]
    for further in builder.valid[1:]:
        valid = pc.and_kleene(valid, further)
    return pc.if_else(valid, value, pc.scalar(float("nan")))


class _Builder:
    def __init__(self, operands: Mapping[str, Operand]) -> None:
        self.operands = operands
        self.names: set[str] = set()
        self.valid: list[pc.Expression] = []

    def logical(self, node: ast.expr) -> pc.Expression:
        match node:
            case ast.BoolOp(op=op, values=values):
                join = pc.and_kleene if isinstance(op, ast.And) else pc.or_kleene
                joined = self.logical(values[0])
                for value in values[1:]:
                    joined = join(joined, self.logical(value))
                return joined
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return pc.invert(self.logical(operand))
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                sides = [left, *comparators]
                joined = self.comparison(ops[0], sides[0], sides[1])
                for sign, one, other in zip(ops[1:], sides[1:], sides[2:], strict=False):
                    joined = pc.and_kleene(joined, self.comparison(sign, one, other))
                return joined
            case ast.Name():
                return self.column(node, "flag")
        raise CutSyntaxError(f"{_shown(node)} is neither a comparison nor a true-or-false column")

    def comparison(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> pc.Expression:
        compare = _COMPARISONS.get(type(op))
        if compare is None:
            raise CutSyntaxError("of comparisons only < <= > >= == != are known")
        if self.is_label(left) or self.is_label(right):
            if not isinstance(op, (ast.Eq, ast.NotEq)):
                raise CutSyntaxError("labels are compared by == and != only")
            return compare(self.label(left), self.label(right))
        if self.is_integer(left) and self.is_integer(right):
            # As 64-bit integers: identifiers do not fit into a float64.
            return compare(self.integer(left), self.integer(right))
        return compare(self.checked(left), self.checked(right))

    def number(self, node: ast.expr) -> pc.Expression:
        match node:
            case ast.Constant(value=float() | int() as value) if not isinstance(value, bool):
                try:
                    return pc.scalar(float(value))
                except OverflowError:
                    raise CutSyntaxError("a number is too large") from None
            case ast.Name():
                return self.column(node, "number").cast(pa.float64(), safe=False)
            case ast.BinOp() | ast.UnaryOp() | ast.Call():
                return self.arithmetic(node)
        raise CutSyntaxError(f"{_shown(node)} is not a number")

    def arithmetic(self, node: ast.expr) -> pc.Expression:
        match node:
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                # The only operation that can make a number of a NaN.
                return pc.power(self.checked(left), self.checked(right))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return _ARITHMETIC[type(op)](self.number(left), self.number(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return pc.negate(self.number(operand))
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.number(operand)
            case ast.Call(func=ast.Name(id="abs"), args=[argument], keywords=[]):
                return pc.abs(self.number(argument))
        raise CutSyntaxError(
            f"{_shown(node)}: arithmetic is + - * / **, and abs() of one value, on numbers"
        )

    def checked(self, node: ast.expr) -> pc.Expression:
        """Return a number that must not be NaN."""
        value = self.number(node)
        if not isinstance(node, (ast.Constant, ast.Name)):
            self.valid.append(pc.invert(pc.is_nan(value)))
        return value

    def label(self, node: ast.expr) -> pc.Expression:
        match node:
            case ast.Constant(value=str() as value):
                return pc.scalar(value)
            case ast.Name():
                return self.column(node, "label").cast(pa.string())
        raise CutSyntaxError(f"{_shown(node)} is not a label; labels are compared with text")

    def integer(self, node: ast.expr) -> pc.Expression:
        value = _integer(node)
        if value is not None:
            return pc.scalar(value)
        assert isinstance(node, ast.Name)
        return self.column(node, "number").cast(pa.int64())

    def is_label(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return self.operands.get(node.id) == "label"
        return isinstance(node, ast.Constant) and isinstance(node.value, str)

    def is_integer(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return self.operands.get(node.id) == "integer"
        return _integer(node) is not None

    def column(self, node: ast.Name, wanted: Operand) -> pc.Expression:
        if node.id == "abs":
            raise CutSyntaxError("abs() is a function, of one value")
        operand = self.operands.get(node.id, wanted)
        if _NAMES[operand] != _NAMES[wanted]:
            advice = ""
            if operand == "flag":
                advice = ' (write the name alone, or "not" before it)'
            elif wanted == "flag":
                advice = " (compare it with something)"
            raise CutSyntaxError(f'column "{node.id}" is {_NAMES[operand]}{advice}')
        field = pc.field(node.id)
        if node.id not in self.names:
            self.names.add(node.id)
            self.valid.append(pc.invert(pc.is_null(field, nan_is_null=True)))
        return field


def _integer(node: ast.expr) -> int | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _integer(node.operand)
        return None if value is None else -value
    match node:
        case ast.Constant(value=int() as number) if not isinstance(number, bool):
            return number if number <= _MAX_INTEGER else None
    return None


def _shown(node: ast.expr) -> str:
    return f'"{ast.unparse(node)}"'
