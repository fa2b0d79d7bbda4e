"""``distributed/hardware_classes.json``: what kind of node a machine is, by what a probe found (Spec §10.3). Pure.

- Classes are tried in the order of the file; the first with a rule that holds is the machine's.
- A rule holds when all of its conditions do. A fact nobody found out fulfils no condition.
- A class for the future is recognised and not admitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from ripple.model.errors import NotFound
from ripple.stack.manifests.section import Document, Section

Fact = Literal[
    "os", "cpu_arch", "cpu_cores", "ram_gb", "gpu_vram_gb", "hypervisor", "chassis", "board", "display", "battery"
]
Facts = Mapping[Fact, str | float | bool]


class Condition(Section):
    """One fact and what it has to be; exactly one of the four."""

    fact: Fact
    one_of: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()
    at_least: float | None = None
    is_: bool | None = Field(default=None, alias="is")

    @model_validator(mode="after")
    def _one(self) -> Condition:
        if [bool(self.one_of), bool(self.contains), self.at_least is not None, self.is_ is not None].count(
            True
        ) != 1:
            raise ValueError(f"a condition about {self.fact} is exactly one of one_of, contains, at_least and is")
        return self

    def holds(self, facts: Facts) -> bool:
        """Whether the fact is known and as it has to be."""
        value = facts.get(self.fact)
        if value is None:
            return False
        if self.is_ is not None:
            return value is self.is_
        if self.at_least is not None:
            return isinstance(value, int | float) and not isinstance(value, bool) and value >= self.at_least
        text = str(value).lower()
        return text in self.one_of or any(part in text for part in self.contains)


class HardwareClass(Section):
    """One class; the first four are the specification's columns."""

    id: str = Field(pattern=r"^[a-z][a-z-]*$")
    name: str
    examples: tuple[str, ...]
    holochain_role: str
    typical_workloads: tuple[str, ...]
    future: bool = False
    rules: tuple[tuple[Condition, ...], ...] = Field(min_length=1)


class HardwareClasses(Document):
    """``distributed/hardware_classes.json``."""

    classes: tuple[HardwareClass, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Classified:
    """The class of a machine, and the facts that made it so."""

    kind: HardwareClass
    because: tuple[str, ...]
    admitted: bool


def classify(classes: HardwareClasses, facts: Facts) -> Classified:
    """What kind of node a machine with these facts is; NotFound when no rule holds."""
    for kind in classes.classes:
        for rule in kind.rules:
            if all(condition.holds(facts) for condition in rule):
                because = tuple(f"{condition.fact} is {facts[condition.fact]}" for condition in rule)
                return Classified(kind, because, not kind.future)
    told = ", ".join(f"{name}={value}" for name, value in sorted(facts.items())) or "nothing"
    raise NotFound(f"no hardware class fits {told}; add a rule to distributed/hardware_classes.json")
