"""The page of the command line, from the program itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import typer.main

from ripple.stack.markdown import code, plain, table
from ripple.surfaces.cli.verbs import program

INTRODUCTION = """# Command line

Every verb is `./ripple VERB`; `--help` behind any of them shows what stands here. A verb with `--json` writes one
JSON document on standard output; progress and errors go to standard error. The exit status is 0, or 1 with a
reason, or 2 when the command line was not understood, and for verbs that compare when something differs. The
documents are in [contracts](../contracts.md).
"""


def page(root: Path) -> str:
    """Every verb with its arguments and options."""
    return "\n".join([INTRODUCTION, *(_section(path, command) for path, command in verbs())])


def verbs() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each verb's words and its command, in the order of ``--help``."""
    yield from _walk((), _command())


def parse(words: Sequence[str]) -> None:
    """Return when ``words`` (without ``./ripple``) are a verb with arguments it takes; nothing is run.

    Raises:
        Exception: what the command line itself would say.
    """
    command = _command()
    rest = list(words)
    while hasattr(command, "commands"):
        if command.invoke_without_command and (not rest or rest[0].startswith("-")):
            break
        if not rest or rest[0] not in command.commands:
            raise LookupError(f"./ripple {' '.join(words)}: no such verb; there are {', '.join(command.commands)}")
        command = command.commands[rest.pop(0)]
    if "--help" not in rest:
        command.make_context(" ".join(words), rest)


@cache
def _command() -> Any:
    return typer.main.get_command(program)


def _walk(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "commands"):
        yield path, command
        return
    if command.invoke_without_command:
        yield path, command
    for name, inner in command.commands.items():
        yield from _walk((*path, name), inner)


def _section(path: tuple[str, ...], command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    words = " ".join(("./ripple", *path, *(_argument(one) for one in arguments)))
    rows = [(code(_written(one)), _told(one)) for one in (*arguments, *options)]
    return "\n".join([f"## `{words}`\n", f"{plain(command.help or '')}\n", table(("", ""), rows) if rows else ""])


def _argument(one: Any) -> str:
    name = one.name.upper()
    return name if one.required else f"[{name}]"


def _written(one: Any) -> str:
    if one.param_type_name == "argument":
        return _argument(one)
    names = ", ".join((*one.opts, *one.secondary_opts))
    return names if one.is_flag else f"{names} {one.name.upper()}"


def _told(one: Any) -> str:
    shown = one.default not in (None, "", False) and not one.required
    parts = [one.help or "", "Needed." if one.required and one.param_type_name == "option" else ""]
    parts += [
        "May be given several times." if one.multiple else "",
        f"Default {code(one.default)}." if shown else "",
    ]
    return " ".join(part for part in parts if part)
