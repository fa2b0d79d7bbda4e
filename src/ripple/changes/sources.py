"""A tree's Python as data: its functions, what of them differs between trees, and who calls whom. Nothing is run.

Comments, docstrings and layout make no difference. Tests and prose do not count: they are not what the application
does. A statement counts as different when not every tree has it; imports alone do not count, what uses them does.
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from ripple.model.digest import digest_bytes

MAX_FILES, MAX_FILE_BYTES = 2000, 1 << 20
SOURCE_ROOTS = ("src", "")
_SKIPPED = frozenset({"__pycache__", ".git", ".venv", "node_modules", ".pytest_cache"})
_TEST_FOLDERS = frozenset({"tests", "test", "testing"})
_PROSE = (".md", ".rst")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Unit:
    """A function, a module's constant, the rest of a module, or a file that is not Python.

    ``name`` is the qualified name, ``""`` for the last two; only a function has a ``node``, and ``statements``:
    each with its first and last line.
    """

    file: str
    name: str
    digest: str
    statements: tuple[tuple[str, int, int], ...] = ()
    node: Function | None = field(default=None, compare=False)
    in_class: bool = False


@dataclass(frozen=True)
class Target:
    """A function to call: ``name`` is ``module:qualified.name``, ``root`` the tree whose annotations count.

    ``differs`` is False for one that is the same in all trees and calls one that is not.
    """

    name: str
    file: str
    qualified: str
    root: str
    differs: bool = True

    @property
    def called(self) -> str:
        """What is really called: for a constructor its class."""
        return self.name.removesuffix(".__init__")


@dataclass(frozen=True)
class Pool:
    """Numbers and texts that matter to the code at hand, most telling first."""

    numbers: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()

    def near(self) -> list[int]:
        """The numbers, and one more and one less than each."""
        return list(dict.fromkeys(one + step for one in self.numbers for step in (0, -1, 1)))


class Tree:
    """The sources below one folder, parsed once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.modules: dict[str, ast.Module] = {}
        self.other: dict[str, str] = {}
        for name, path in _files(root):
            self._read(name, path)

    @cached_property
    def units(self) -> dict[tuple[str, str], Unit]:
        """Every unit of what the application does, by file and name."""
        found = {(file, ""): Unit(file, "", digest) for file, digest in self.other.items() if counts(file)}
        for file, module in self.modules.items():
            if counts(file):
                found |= {(file, unit.name): unit for unit in _units(file, module)}
        return found

    @cached_property
    def names(self) -> dict[tuple[str, str], frozenset[str]]:
        """For each function the names and attributes that its body mentions."""
        return {key: mentioned(unit.node) for key, unit in self.units.items() if unit.node is not None}

    def module_name(self, file: str) -> str | None:
        """How ``file`` is imported; None when it cannot be."""
        path = PurePosixPath(file)
        for root in SOURCE_ROOTS:
            if path.is_relative_to(root) and not (root and (self.root / root / "__init__.py").exists()):
                path = path.relative_to(root)
                break
        parts = [*path.parent.parts, *([] if path.stem == "__init__" else [path.stem])]
        return ".".join(parts) if parts and all(part.isidentifier() for part in parts) else None

    @cached_property
    def files_of_modules(self) -> dict[str, str]:
        """File of each importable module."""
        return {name: file for file in self.modules if (name := self.module_name(file)) is not None}

    @property
    def paths(self) -> list[str]:
        """What belongs on the interpreter's path to import from this tree."""
        return [root for root in SOURCE_ROOTS if (self.root / root).is_dir()]

    def _read(self, name: str, path: Path) -> None:
        if path.is_symlink():
            self.other[name] = f"link to {path.readlink()}"
            return
        data = path.read_bytes() if path.stat().st_size <= MAX_FILE_BYTES else _large(path)
        if name.endswith(".py"):
            try:
                self.modules[name] = ast.parse(data)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                self.other[name] = digest_bytes(data)
        else:
            self.other[name] = digest_bytes(data)


@dataclass(frozen=True)
class Difference:
    """A unit that is not the same in all trees: per tree its digest and the lines of what only some trees have."""

    file: str
    name: str
    lines: Mapping[str, tuple[tuple[int, int], ...]]
    digests: Mapping[str, str]


def differences(trees: Mapping[str, Tree]) -> list[Difference]:
    """The units in which ``trees`` differ, by file and name."""
    keys = sorted({key for tree in trees.values() for key in tree.units})
    found = []
    for key in keys:
        units = {name: tree.units.get(key) for name, tree in trees.items()}
        digests = {name: unit.digest if unit else "absent" for name, unit in units.items()}
        if len(set(digests.values())) > 1:
            lines = _own_lines({name: unit.statements if unit else () for name, unit in units.items()})
            found.append(Difference(*key, lines, digests))
    return found


def callers(tree: Tree, keys: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Functions of ``tree`` that mention one of ``keys`` (file and qualified name) by its last name."""
    wanted = set()
    for _, name in keys:
        *owners, last = name.split(".")
        wanted.add(owners[-1] if owners and last == "__init__" else last)
    return [key for key, names in sorted(tree.names.items()) if names & wanted]


def nodes_of(tree: Tree, one: Difference) -> list[ast.AST]:
    """The syntax of a difference in ``tree``: its function, or the statements that give a constant its value."""
    unit = tree.units.get((one.file, one.name))
    if unit is not None and unit.node is not None:
        return [unit.node]
    body = tree.modules[one.file].body if one.file in tree.modules else []
    return [node for node in body if one.name in _targets(node)]


def mentions(tree: Tree, name: str) -> list[tuple[str, int]]:
    """Where functions of ``tree`` mention ``name``: file and line."""
    return [
        (file, node.lineno)
        for (file, _), unit in tree.units.items()
        if unit.node is not None
        for node in ast.walk(unit.node)
        if (isinstance(node, ast.Name) and node.id == name)
        or (isinstance(node, ast.Attribute) and node.attr == name)
    ]


def mentioned(node: ast.AST) -> frozenset[str]:
    """The names and attributes below ``node``."""
    names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    return frozenset(names | {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)})


def literals(nodes: Sequence[ast.AST]) -> tuple[list[int], list[str]]:
    """The whole numbers and short texts below ``nodes``, each once, most frequent first."""
    numbers: Counter[int] = Counter()
    texts: Counter[str] = Counter()
    for node in nodes:
        for one in ast.walk(node):
            if isinstance(one, ast.Constant) and type(one.value) is int:
                numbers[one.value] += 1
            elif isinstance(one, ast.Constant) and isinstance(one.value, str) and len(one.value) <= 60:
                texts[one.value] += 1
    return [one for one, _ in numbers.most_common()], [one for one, _ in texts.most_common()]


def counts(file: str) -> bool:
    """Whether a file is part of what the application does: no test, and no prose at the root or in docs."""
    path = PurePosixPath(file)
    prose = path.suffix in _PROSE and (len(path.parts) == 1 or path.parts[0] == "docs")
    return not is_test(file) and not prose


def is_test(file: str) -> bool:
    """Whether a file is a test, by the names that test runners look for."""
    path = PurePosixPath(file)
    named = path.stem.startswith("test_") or path.stem.endswith("_test") or path.stem == "conftest"
    return named or bool(_TEST_FOLDERS & set(path.parts[:-1]))


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    waiting = [root]
    seen = 0
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            if path.is_dir() and not path.is_symlink():
                waiting += [path] if path.name not in _SKIPPED else []
            elif seen < MAX_FILES:
                seen += 1
                yield path.relative_to(root).as_posix(), path


def _large(path: Path) -> bytes:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").digest()


def _units(file: str, module: ast.Module) -> Iterator[Unit]:
    rest: list[ast.stmt] = []
    yield from _functions(file, module.body, "", rest)
    kept = [one for one in rest if not isinstance(one, ast.Import | ast.ImportFrom)]
    given: dict[str, list[ast.stmt]] = {}
    for node in module.body:
        for name in _targets(node):
            given.setdefault(name, []).append(node)
    for name, nodes in given.items():
        yield Unit(file, name, _digest(nodes))
    others = [one for one in kept if not any(one in nodes for nodes in given.values())]
    yield Unit(file, "", _digest(others))


def _functions(file: str, body: Sequence[ast.stmt], prefix: str, rest: list[ast.stmt]) -> Iterator[Unit]:
    """The functions of a module or class body; what is none goes to ``rest``."""
    for node in _plain(body):
        if isinstance(node, Function):
            statements = tuple(_statements([node]))
            name = prefix + node.name
            yield Unit(file, name, _digest([node]), statements, node, in_class=bool(prefix))
        elif isinstance(node, ast.ClassDef):
            yield from _functions(file, node.body, f"{prefix}{node.name}.", rest)
            outside = [one for one in _plain(node.body) if not isinstance(one, Function | ast.ClassDef)]
            head = ast.ClassDef(node.name, node.bases, node.keywords, [], node.decorator_list)
            rest += [ast.copy_location(head, node), *outside]
        else:
            rest.append(node)


def _plain(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """A body without its docstring."""
    first = body[0] if body else None
    text = (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
    return list(body[1:] if text else body)


def _digest(nodes: Sequence[ast.stmt]) -> str:
    return digest_bytes("\n".join(text for text, _, _ in _statements(nodes)).encode(errors="surrogatepass"))


def _statements(nodes: Sequence[ast.stmt], depth: int = 0) -> Iterator[tuple[str, int, int]]:
    """Each statement by itself with its lines; of one that holds others only the head, marked by its depth."""
    for node in nodes:
        inner = [(name, value) for name, value in ast.iter_fields(node) if _is_body(value)]
        if not inner:
            yield f"{depth}:{ast.dump(node)}", node.lineno, node.end_lineno or node.lineno
            continue
        bare = {name: ([] if _is_body(value) else value) for name, value in ast.iter_fields(node)}
        first = min(one.lineno for _, value in inner for one in value if hasattr(one, "lineno"))
        yield f"{depth}:{ast.dump(type(node)(**bare))}", node.lineno, max(node.lineno, first - 1)
        for name, value in inner:
            yield f"{depth}:{name}", 0, 0
            for one in _plain(value) if isinstance(node, Function | ast.ClassDef) else value:
                yield from _held(one, depth + 1)


def _is_body(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], ast.stmt | ast.ExceptHandler | ast.match_case)
    )


def _held(node: ast.AST, depth: int) -> Iterator[tuple[str, int, int]]:
    if isinstance(node, ast.stmt):
        yield from _statements([node], depth)
    elif isinstance(node, ast.ExceptHandler):
        head = f"{depth}:except {ast.dump(node.type) if node.type else ''} {node.name}"
        yield head, node.lineno, node.lineno
        yield from _statements(node.body, depth + 1)
    elif isinstance(node, ast.match_case):
        head = f"{depth}:case {ast.dump(node.pattern)} {ast.dump(node.guard) if node.guard else ''}"
        yield head, node.pattern.lineno, node.pattern.lineno
        yield from _statements(node.body, depth + 1)


def _own_lines(
    statements: Mapping[str, tuple[tuple[str, int, int], ...]],
) -> dict[str, tuple[tuple[int, int], ...]]:
    """For each tree the lines of the statements that not all trees have."""
    shared = set.intersection(*({text for text, _, _ in given} for given in statements.values()))
    return {
        name: tuple((first, last) for text, first, last in given if text not in shared and first)
        for name, given in statements.items()
    }


def _targets(node: ast.stmt) -> list[str]:
    """The names that a module's statement gives a value to; none when it does anything else."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return names if len(names) == len(targets) else []
