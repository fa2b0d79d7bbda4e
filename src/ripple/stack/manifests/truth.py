"""``stack.yaml``: the closed list of roles and where the truth of each kind of fact is (Spec §3.2). Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal

from pydantic import Field, model_validator

from ripple.stack.manifests.section import Section

Kind = Literal["infra", "policy", "secrets", "run", "artifacts"]
KINDS: tuple[Kind, ...] = ("infra", "policy", "secrets", "run", "artifacts")


class Truth(Section):
    """One kind of fact. ``roles`` keep it and ``paths`` of the checkout state it."""

    says: str = Field(min_length=3, description="The specification's words.")
    here: str = Field(min_length=8, description="What that is on one machine.")
    roles: tuple[str, ...] = Field(min_length=1)
    paths: tuple[str, ...] = ()


class Exemptions(Section):
    """Files that may do what the rules forbid, each by name."""

    inference: tuple[str, ...] = ()


class StackFile(Section):
    """``manifests/stack.yaml``."""

    roles: dict[str, str] = Field(min_length=1)
    truth: dict[Kind, Truth]
    exemptions: Exemptions = Exemptions()

    @model_validator(mode="after")
    def _whole(self) -> StackFile:
        if missing := [kind for kind in KINDS if kind not in self.truth]:
            raise ValueError(f"truth says nothing of {', '.join(missing)}")
        return self


def broken_pointers(
    stack: StackFile, there: Callable[[str], bool], filled: Collection[str] | None = None
) -> list[str]:
    """Every pointer that leads nowhere; ``there`` knows paths, ``filled`` are the roles that have a system."""
    found = []
    for kind, truth in stack.truth.items():
        found += [f"truth.{kind}: {role} is no role" for role in truth.roles if role not in stack.roles]
        if filled is not None:
            empty = [role for role in truth.roles if role in stack.roles and role not in filled]
            found += [f"truth.{kind}: no system has the role {role}" for role in empty]
        missing = [path for path in truth.paths if not there(path)]
        found += [f"truth.{kind}: {path} is not in the checkout" for path in missing]
    return found


def owner_of(stack: StackFile, path: str) -> Kind | None:
    """The kind of fact whose truth a file of the checkout is; the longest pointer decides."""
    best: tuple[int, Kind] | None = None
    for kind, truth in stack.truth.items():
        for pointer in truth.paths:
            inside = path == pointer or path.startswith(f"{pointer.rstrip('/')}/")
            if inside and (best is None or len(pointer) > best[0]):
                best = (len(pointer), kind)
    return best[1] if best else None
