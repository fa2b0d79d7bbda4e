"""From annotations, read as text, to values that fit them: hypothesis strategies of what the driver decodes.

Classes of the tree are followed through its imports: enumerations, data classes, named tuples, and any class whose
constructor is annotated. Nothing of the tree is imported here.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from ripple.changes.sources import Function, Pool, Tree

Wire = st.SearchStrategy[Any]

MAX_DEPTH, MAX_ITEMS = 6, 4
_LETTERS = "abcxyzABCXYZ0123456789 \t\n.,:;-_/\\'\"%&=?@#*()[]{}<>äß€中😀"
_LISTS = {"list", "List", "Sequence", "MutableSequence", "Iterable", "Collection", "Iterator"}
_SETS = {"set": "set", "Set": "set", "AbstractSet": "set", "MutableSet": "set"} | dict.fromkeys(
    ("frozenset", "FrozenSet"), "frozenset"
)
_MAPPINGS = {"dict", "Dict", "Mapping", "MutableMapping", "OrderedDict", "defaultdict"}
_WRAPPERS = {"Annotated", "Final", "ClassVar", "Required", "NotRequired"}
_ANY = {"Any", "object"}
_NAMED_TUPLES, _ENUMS = {"NamedTuple"}, {"Enum", "IntEnum", "StrEnum", "Flag", "IntFlag"}


class UnsupportedError(Exception):
    """No values can be made for an annotation; the message names it."""


class Annotations:
    """Makes strategies for the annotations of one tree."""

    def __init__(self, tree: Tree, pool: Pool) -> None:
        self._tree, self._pool = tree, pool
        self._imports = {file: _imports(tree, file, module) for file, module in tree.modules.items()}

    def parameters(self, file: str, function: Function, *, bound: bool) -> dict[str, tuple[Wire, bool]]:
        """A strategy for each named parameter and whether it may be left out; without ``self`` when bound.

        Raises:
            UnsupportedError: no value can be made for a parameter that has to be given.
        """
        given = function.args
        positional = [*given.posonlyargs, *given.args]
        optional = {one.arg for one in positional[len(positional) - len(given.defaults) :]}
        optional |= {one.arg for one, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if value}
        found = {}
        for one in [*positional[int(bound) :], *given.kwonlyargs]:
            try:
                found[one.arg] = (self.strategy(file, one.annotation), one.arg in optional)
            except UnsupportedError:
                if one.arg not in optional:
                    raise
        return found

    def instance(self, file: str, name: str) -> Wire:
        """Instances of the class ``name`` (qualified) of ``file``."""
        node: ast.AST = self._tree.modules[file]
        for part in name.split("."):
            inner = [
                one for one in getattr(node, "body", []) if isinstance(one, ast.ClassDef) and one.name == part
            ]
            if not inner:
                raise UnsupportedError(name)
            node = inner[0]
        assert isinstance(node, ast.ClassDef)
        return self._class(file, node, name, 0)

    def strategy(self, file: str, annotation: ast.expr | None, depth: int = 0) -> Wire:
        """Values for ``annotation`` as it stands in ``file``; without one, a bit of everything."""
        if annotation is None:
            return self._anything()
        if depth > MAX_DEPTH:
            raise UnsupportedError(ast.unparse(annotation))
        if isinstance(annotation, ast.Constant):
            return self._constant(file, annotation, depth)
        if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
            return self._union(file, (annotation.left, annotation.right), depth)
        if isinstance(annotation, ast.Subscript):
            items = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
            return self._generic(file, _last(annotation.value), items, depth)
        if isinstance(annotation, ast.Name | ast.Attribute):
            return self._named(file, annotation, depth)
        raise UnsupportedError(ast.unparse(annotation))

    def _constant(self, file: str, annotation: ast.Constant, depth: int) -> Wire:
        if annotation.value is None:
            return st.none()
        if isinstance(annotation.value, str):
            try:
                return self.strategy(file, ast.parse(annotation.value, mode="eval").body, depth + 1)
            except SyntaxError as error:
                raise UnsupportedError(annotation.value) from error
        raise UnsupportedError(ast.unparse(annotation))

    def _union(self, file: str, options: Sequence[ast.expr], depth: int) -> Wire:
        """Any of the options that values can be made for; at least one has to be."""
        found = []
        for option in options:
            try:
                found.append(self.strategy(file, option, depth + 1))
            except UnsupportedError:
                continue
        if not found:
            raise UnsupportedError(" | ".join(map(ast.unparse, options)))
        return st.one_of(found)

    def _generic(self, file: str, name: str, items: Sequence[ast.expr], depth: int) -> Wire:
        if name == "Literal":
            return st.sampled_from([ast.literal_eval(one) for one in items])
        if name in ("Optional", "Union"):
            extra = [ast.Constant(None)] if name == "Optional" else []
            return self._union(file, [*extra, *items], depth)
        if name in _WRAPPERS:
            return self.strategy(file, items[0], depth + 1)
        if name in ("tuple", "Tuple") and not (len(items) == 2 and _is_ellipsis(items[1])):
            inner = [self.strategy(file, one, depth + 1) for one in items]
            return st.tuples(*inner).map(lambda of: {"t": "tuple", "of": list(of)})
        made = [self.strategy(file, one, depth + 1) for one in items if not _is_ellipsis(one)]
        found = _collection(name, made)
        return found if found is not None else self._named(file, ast.Name(name), depth)

    def _named(self, file: str, annotation: ast.Name | ast.Attribute, depth: int) -> Wire:
        name = _last(annotation)
        if (simple := self._simple(name)) is not None:
            return simple
        if (bare := _collection(name, [st.text(_LETTERS, max_size=3), st.integers(-9, 9)])) is not None:
            return bare
        place = self._resolved(file, annotation)
        if place is not None and place[1] in _EXTERNAL:
            return _EXTERNAL[place[1]](self)
        if place is None or place[0] not in self._tree.modules:
            raise UnsupportedError(ast.unparse(annotation))
        for node in self._tree.modules[place[0]].body:
            if isinstance(node, ast.ClassDef) and node.name == place[1]:
                return self._class(place[0], node, node.name, depth)
            if isinstance(node, ast.Assign) and any(
                isinstance(t, ast.Name) and t.id == place[1] for t in node.targets
            ):
                return self._alias(place[0], node.value, depth)
        raise UnsupportedError(ast.unparse(annotation))

    def _alias(self, file: str, value: ast.expr, depth: int) -> Wire:
        if isinstance(value, ast.Call) and _last(value.func) == "NewType" and len(value.args) == 2:
            return self.strategy(file, value.args[1], depth + 1)
        if isinstance(value, ast.Call):
            return self._anything()
        return self.strategy(file, value, depth + 1)

    def _simple(self, name: str) -> Wire | None:
        numbers, texts = self._pool.near(), self._pool.texts
        if name == "int":
            near = st.integers(-3, 20) | st.integers(-1_000_000, 1_000_000)
            return st.sampled_from(numbers) | near if numbers else near
        if name == "bool":
            return st.booleans()
        if name == "float":
            plain = st.sampled_from([0.0, 1.0, -1.0, 0.5, 1e9]) | st.floats(-1e6, 1e6, width=32)
            return (plain | st.sampled_from([float(one) for one in numbers or (0,)])).map(_float)
        if name == "str":
            free = st.text(_LETTERS, max_size=12)
            return st.sampled_from(texts) | free if texts else free
        if name == "bytes":
            return st.binary(max_size=12).map(lambda data: {"t": "bytes", "hex": data.hex()})
        return self._anything() if name in _ANY else None

    def _anything(self) -> Wire:
        plain = [one for name in ("int", "str", "bool") if (one := self._simple(name)) is not None]
        some = st.one_of(st.none(), *plain)
        lists = st.lists(some, max_size=MAX_ITEMS).map(lambda of: {"t": "list", "of": of})
        pairs = st.lists(st.tuples(st.text(_LETTERS, max_size=4), some).map(list), max_size=MAX_ITEMS)
        return st.one_of(some, lists, pairs.map(lambda of: {"t": "dict", "of": of}))

    def _class(self, file: str, node: ast.ClassDef, name: str, depth: int) -> Wire:
        module = self._tree.module_name(file)
        if module is None or depth > MAX_DEPTH:
            raise UnsupportedError(name)
        bases = {_last(one) for one in node.bases}
        of = f"{module}:{name}"
        if bases & _ENUMS:
            members = [
                t.id
                for one in node.body
                if isinstance(one, ast.Assign)
                for t in one.targets
                if isinstance(t, ast.Name)
            ]
            if not members:
                raise UnsupportedError(name)
            return st.sampled_from(members).map(lambda member: {"t": "member", "of": of, "name": member})
        required, optional = self._fields(file, node, bases, depth)
        return st.fixed_dictionaries(required, optional=optional).map(
            lambda named: {"t": "call", "of": of, "given": [], "named": named}
        )

    def _fields(
        self, file: str, node: ast.ClassDef, bases: set[str], depth: int
    ) -> tuple[dict[str, Wire], dict[str, Wire]]:
        """What the class is made from: its constructor's parameters, or its annotated fields."""
        init = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
        if init:
            found = self.parameters(file, init[0], bound=True)
            required = {name: made for name, (made, leave) in found.items() if not leave}
            return required, {name: made for name, (made, leave) in found.items() if leave}
        listed = {_last(one.func if isinstance(one, ast.Call) else one) for one in node.decorator_list}
        if not (listed & {"dataclass"} or bases & (_NAMED_TUPLES | {"TypedDict", "BaseModel"})):
            if node.bases:
                raise UnsupportedError(node.name)
            return {}, {}
        fields = [one for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]
        made = {
            one.target.id: self.strategy(file, one.annotation, depth + 1)
            for one in fields
            if isinstance(one.target, ast.Name)
        }
        given = {one.target.id for one in fields if one.value is not None and isinstance(one.target, ast.Name)}
        return {k: v for k, v in made.items() if k not in given}, {k: v for k, v in made.items() if k in given}

    def _resolved(self, file: str, annotation: ast.Name | ast.Attribute) -> tuple[str, str] | None:
        """The file and name behind an annotation; for modules outside the tree ``("", "module.name")``."""
        words = ast.unparse(annotation).split(".")
        imported = self._imports[file].get(words[0])
        if imported is None:
            return (file, words[0]) if len(words) == 1 else None
        module, name = imported
        dotted = ".".join([*module.split("."), *([name] if name else []), *words[1:]])
        home, _, last = dotted.rpartition(".")
        place = self._tree.files_of_modules.get(home)
        if place is None:
            return "", dotted
        return self._resolved(place, ast.Name(last)) if last in self._imports[place] else (place, last)


def _imports(tree: Tree, file: str, module: ast.Module) -> Mapping[str, tuple[str, str]]:
    """What each imported name of a file stands for: a module, and a name in it or ``""``."""
    found: dict[str, tuple[str, str]] = {}
    own = (tree.module_name(file) or "").split(".")
    package = own if file.endswith("__init__.py") else own[:-1]
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for one in node.names:
                found[one.asname or one.name.partition(".")[0]] = (
                    one.name if one.asname else one.name.partition(".")[0],
                    "",
                )
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            home = ".".join([*above, *([node.module] if node.module else [])])
            found |= {one.asname or one.name: (home, one.name) for one in node.names}
    return found


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _float(value: float) -> dict[str, str]:
    return {"t": "float", "repr": repr(value)}


def _collection(name: str, made: Sequence[Wire]) -> Wire | None:
    """Lists, tuples, sets and mappings of ``made``; None when ``name`` is none of these."""
    if name in _LISTS or name in ("tuple", "Tuple"):
        kind = "tuple" if name in ("tuple", "Tuple") else "list"
        return st.lists(made[0], max_size=MAX_ITEMS).map(lambda of: {"t": kind, "of": of})
    if name in _SETS:
        return st.lists(made[0], max_size=MAX_ITEMS).map(lambda of: {"t": _SETS[name], "of": of})
    if name in _MAPPINGS and len(made) >= 2:
        pairs = st.tuples(made[0], made[1]).map(list)
        return st.lists(pairs, max_size=MAX_ITEMS).map(lambda of: {"t": "dict", "of": of})
    return None


def _called(of: str, given: Wire) -> Wire:
    return given.map(lambda value: {"t": "call", "of": of, "given": list(value), "named": {}})


def _decimals(_: Annotations) -> Wire:
    return _called("decimal:Decimal", st.tuples(st.decimals(-1000, 1000, places=2).map(str)))


def _days(_: Annotations) -> Wire:
    return _called("datetime:date", st.dates().map(lambda day: (day.year, day.month, day.day)))


def _times(_: Annotations) -> Wire:
    return _called("datetime:datetime", st.datetimes().map(lambda at: tuple(at.timetuple()[:6])))


_EXTERNAL: Mapping[str, Callable[[Annotations], Wire]] = {
    "decimal.Decimal": _decimals,
    "datetime.date": _days,
    "datetime.datetime": _times,
}
