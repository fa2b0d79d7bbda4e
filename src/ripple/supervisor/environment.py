"""What a process inherits of the operator's environment: a short list, never the whole of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath

from ripple.supervisor.launch import Launch

INHERITED = ("LANG", "LC_ALL", "LC_CTYPE", "TZ")


def environment_of(
    launch: Launch, inherited: Mapping[str, str], passed: Iterable[str], folders: Mapping[str, str]
) -> dict[str, str]:
    """The environment of one process, its launch mark not included. Pure.

    Args:
        launch: What is started; the variables of its row win.
        inherited: The operator's environment.
        passed: The names the row asks for, and for Ripple's own processes the profile.
        folders: What ``{bin}``, ``{home}``, ``{state}`` and ``{src}`` stand for; with ``{node}``, a program of a
            Node.js package finds the interpreter that its first line asks for.
    """
    node = [str(PurePath(folders["node"]).parent)] if "node" in folders else []
    path = [folders["bin"], *node, inherited.get("PATH", "/usr/local/bin:/usr/bin:/bin")]
    standing = {"PATH": ":".join(path), "HOME": folders["state"]}
    if launch.own:
        standing |= {"RIPPLE_HOME": folders["home"], "PYTHONPATH": folders["src"], "PYTHONUNBUFFERED": "1"}
    named = {name: inherited[name] for name in (*INHERITED, *passed) if name in inherited}
    return {**standing, **named, **launch.env}
