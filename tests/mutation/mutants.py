"""Makes small mistakes in a module: one in each mutant, as a programmer would make them.

The mistakes: a comparison off by its bound or turned round, `and` for `or`, a condition the other way round, arithmetic
and shifts swapped, a number one too large, a text or some bytes changed, `True` for `False`, nothing returned, a call
or a `raise` forgotten, `break` for `continue`, `min` for `max`, `any` for `all`.

Left alone is what no test should hold, because no decision and no byte depends on it: documentation, annotations,
`__all__`, the words of error messages, entries in the log, the names of threads, and the type that `cast` names.
"""

from __future__ import annotations

import ast
import copy
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["Mutant", "mutants_of"]

_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
_LOGGING = {"debug", "info", "warning", "error", "exception", "critical"}
_CALLED = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Mutant:
    """One mistake.  `tree()` keeps the original's line numbers; `function`: it lies in the body of one.

    The tree is made on demand, because a sample uses few of the mutants and a copy of a whole module takes long.
    """

    line: int
    what: str
    function: bool
    tree: Callable[[], ast.Module]


Change = Callable[[ast.AST], ast.AST | None]
"""Makes the mistake in a copy of the node; the copy may be replaced by what is returned."""


def mutants_of(source: str) -> Iterator[Mutant]:
    """Every mutant, from the top of the file to its end."""
    tree = ast.parse(source)
    for path, function in _places(tree, (), False, quiet=False):
        node = _at(tree, path)
        for what, change in _changes(node):
            yield Mutant(getattr(node, "lineno", 0), what, function, functools.partial(_changed, tree, path, change))


def _changed(tree: ast.Module, path: _Path, change: Change) -> ast.Module:
    mutated = copy.deepcopy(tree)
    target = _at(mutated, path)
    replacement = change(target)
    if replacement is not None:
        _put(mutated, path, ast.copy_location(replacement, target))
    ast.fix_missing_locations(mutated)
    return mutated


_Path = tuple[tuple[str, int | None], ...]


def _at(tree: ast.AST, path: _Path) -> ast.AST:
    for name, index in path:
        value = getattr(tree, name)
        tree = value if index is None else value[index]
    return tree


def _put(tree: ast.AST, path: _Path, node: ast.AST) -> None:
    (name, index), parent = path[-1], _at(tree, path[:-1])
    if index is None:
        setattr(parent, name, node)
    else:
        getattr(parent, name)[index] = node


def _places(node: ast.AST, path: _Path, function: bool, *, quiet: bool) -> Iterator[tuple[_Path, bool]]:
    """Places that can be mutated. `quiet`: within words for people."""
    if path and not quiet:
        yield path, function
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "type_params", "bases"} or _is_all(node):
            continue
        inside = function
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            inside = function or name == "body"  # its defaults are worked out where it stands
        words = quiet or (isinstance(node, ast.Raise) and name == "exc") or isinstance(node, ast.JoinedStr)
        children = value if isinstance(value, list) else [value]
        for number, child in enumerate(children):
            if not isinstance(child, ast.AST) or _is_documentation(node, name, number, child):
                continue
            index = number if isinstance(value, list) else None
            yield from _places(child, (*path, (name, index)), inside, quiet=words or _is_only_words(node, child))


def _is_all(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"


def _is_documentation(parent: ast.AST, field: str, _number: int, child: ast.AST) -> bool:
    """A string that stands alone."""
    return field == "body" and isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)


def _is_only_words(parent: ast.AST, node: ast.AST) -> bool:
    """Words of an error (`_refused("it is for another device")`, `FormatError(…)`), an entry in the log, a name."""
    if isinstance(node, ast.Expr):
        node = node.value
    match parent, node:
        case _, ast.Call(func=ast.Name(id=name)):
            return name.endswith("Error") or name in {"_refused", "_refuted", "_unverified", "TypeVar", "cast"}
        case _, ast.Call(func=ast.Attribute(value=ast.Name(id=log) | ast.Attribute(attr=log), attr=name)):
            return (log in {"log", "_log"} and name in _LOGGING) or (log, name) == ("structlog", "get_logger")
        case _, ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Attribute(attr="get_logger")))):
            return True
        case ast.Call(func=ast.Attribute(attr="Thread") | ast.Name(id="Thread")), ast.keyword(arg="name"):
            return True
    return False


def _changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    match node:
        case ast.Compare(ops=ops):
            for number, op in enumerate(ops):
                for other in _COMPARED[type(op)]:
                    yield f"{type(op).__name__} → {other.__name__}", _set_op(number, other)
        case ast.BoolOp(op=op):
            other_word = ast.Or if isinstance(op, ast.And) else ast.And
            yield f"{type(op).__name__} → {other_word.__name__}", _set("op", other_word())
        case ast.UnaryOp(op=ast.Not()):
            yield "not x → x", lambda found: found.operand  # type: ignore[attr-defined]
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in _ARITHMETIC:
            swapped = _ARITHMETIC[type(op)]
            yield f"{type(op).__name__} → {swapped.__name__}", _set("op", swapped())
        case ast.Constant(value=bool() as value):
            yield f"{value} → {not value}", _set("value", not value)
        case ast.Constant(value=int() as value):
            yield f"{value} → {value + 1}", _set("value", value + 1)
        case ast.Constant(value=str() as value):
            yield f"{value[:20]!r} → other text", _set("value", f"XX{value}")
        case ast.Constant(value=bytes() as value):
            yield f"{value[:20]!r} → other bytes", _set("value", b"XX" + value)
        case ast.Return(value=ast.expr() as value) if not _is_as_good_as_none(value):
            yield "return x → return None", _set("value", ast.Constant(None))
        case ast.Raise() | ast.Expr(value=ast.Call()):
            yield "forgotten", _forget
        case ast.Break():
            yield "break → continue", lambda _: ast.Continue()
        case ast.Continue():
            yield "continue → break", lambda _: ast.Break()
        case ast.Call(func=ast.Name(id=name)) if name in _CALLED:
            yield f"{name} → {_CALLED[name]}", _rename(_CALLED[name])
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) if not _has_its_own(test):
            yield "condition turned round", _turn_round


def _has_its_own(test: ast.expr) -> bool:
    """Its negation is among the mutants of the condition itself."""
    return isinstance(test, ast.UnaryOp) or (isinstance(test, ast.Compare) and len(test.ops) == 1)


def _is_as_good_as_none(value: ast.expr) -> bool:
    """True for None, and for False in a place that only tests its truth."""
    return isinstance(value, ast.Constant) and (value.value is None or value.value is False)


def _set(name: str, value: object) -> Change:
    def change(node: ast.AST) -> None:
        setattr(node, name, value)

    return change


def _set_op(number: int, op: type[ast.cmpop]) -> Change:
    def change(node: ast.AST) -> None:
        node.ops[number] = op()  # type: ignore[attr-defined]

    return change


def _rename(name: str) -> Change:
    def change(node: ast.AST) -> None:
        node.func.id = name  # type: ignore[attr-defined]

    return change


def _forget(node: ast.AST) -> ast.stmt:
    """Returns nothing in its place, or what `super()` reads: the running function keeps its closure."""
    if any(isinstance(each, ast.Name) and each.id == "super" for each in ast.walk(node)):
        return ast.Expr(ast.Name("__class__", ast.Load()))
    return ast.Pass()


def _turn_round(node: ast.AST) -> None:
    node.test = ast.UnaryOp(ast.Not(), node.test)  # type: ignore[attr-defined]
