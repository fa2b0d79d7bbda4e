"""Memory: what a profile's rows need against its budget and against what the machine has left.

Rules:

- What a profile needs is the sum of its rows' ``memory_mib``; a row nobody measured counts nothing.
- It needs no more than its ``budget_mib``, where it has one, and no more than what is free plus what the instance
  holds already.
- One that does not fit gives way to its ``smaller`` one, and so on; where there is none, it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ripple.model.component import Component
from ripple.model.errors import Invalid, Refused
from ripple.stack.components import Stack

_MIB = 1 << 20
_NO_LIMIT = 1 << 50


@dataclass(frozen=True)
class Room:
    """What is free on the machine, and what the instance holds already, in MiB."""

    free_mib: int
    held_mib: int = 0


@dataclass(frozen=True)
class Fitting:
    """The profile that fits, and why it is not the one that was asked for, if it is not."""

    stack: Stack
    notice: str = ""


def needed_mib(components: Iterable[Component]) -> int:
    """What the rows say they need together."""
    return sum(one.memory_mib for one in components)


def too_large(stack: Stack, room: Room) -> str:
    """Why the profile does not fit, with the numbers; empty when it does."""
    need, budget = needed_mib(stack.components), stack.profile.budget_mib
    if budget and need > budget:
        return f"profile {stack.profile.name} needs {need} MiB, its budget is {budget} MiB"
    if need > room.free_mib + room.held_mib:
        held = f" and holds {room.held_mib} MiB already" if room.held_mib else ""
        return f"profile {stack.profile.name} needs {need} MiB, the machine has {room.free_mib} MiB free{held}"
    return ""


def fitting(asked: str, load: Callable[[str], Stack], room: Room) -> Fitting:
    """The profile ``asked``, or the first smaller one that fits. Pure but for ``load``.

    Raises:
        Refused: none of them fits; the message has the numbers.
        Invalid: the profiles name each other in a circle.
    """
    name, reasons, seen = asked, list[str](), list[str]()
    while name:
        if name in seen:
            raise Invalid(
                f"the profiles {' → '.join([*seen, name])} are each smaller than the next; end the circle"
            )
        stack = load(name)
        wrong = too_large(stack, room)
        if not wrong:
            return Fitting(stack, f"{'; '.join(reasons)}: {name} runs instead" if reasons else "")
        reasons.append(wrong)
        seen.append(name)
        name = stack.profile.smaller
    raise Refused(
        f"{'; '.join(reasons)}; end something else, or give the profile a smaller one or a larger budget_mib"
    )


def admitted(component: Component, running: Iterable[Component], budget_mib: int, free_mib: int) -> str:
    """Why a component must not be added to what runs, with the numbers; empty when it may be."""
    need, others = component.memory_mib, needed_mib(running)
    if need and budget_mib and others + need > budget_mib:
        return f"{component.id} needs {need} MiB beside the {others} MiB that run, the budget is {budget_mib} MiB"
    if need > free_mib:
        return f"{component.id} needs {need} MiB, the machine has {free_mib} MiB free"
    return ""


def free_mib(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """What this process and its children may still take: of the machine, and of every control group above it.

    Caches that the kernel gives back when asked count as free.
    """
    lines = dict(line.partition(":")[::2] for line in (proc / "meminfo").read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    return max(0, min([free, *_group_limits(proc, groups)])) // _MIB


def _group_limits(proc: Path, groups: Path) -> list[int]:
    """What each control group above this process leaves, in bytes."""
    found = []
    for line in _read(proc / "self" / "cgroup").splitlines():
        number, names, path = line.split(":", 2)
        if number == "0":
            root, files = groups, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in names.split(","):
            root = groups / "memory"
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        place = root / path.lstrip("/")
        for folder in (place, *place.parents):
            found += _left(folder, *files)
            if folder == root:
                break
    return found


def _left(folder: Path, limit: str, used: str, cached: str) -> list[int]:
    highest, current = _read(folder / limit).strip(), _read(folder / used).strip()
    if not highest.isdigit() or not current.isdigit() or int(highest) >= _NO_LIMIT:
        return []
    stat = dict(line.partition(" ")[::2] for line in _read(folder / "memory.stat").splitlines())
    return [int(highest) - int(current) + int(stat.get(cached, "0"))]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
