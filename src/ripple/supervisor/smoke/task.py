"""What goes into the sandbox and what comes out of it: one JSON document each way."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ripple.model.component import Component
from ripple.model.system import Smoke


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Task(_Message):
    """One smoke test, ready to be run.

    ``names`` are the templates' names but the ports, which only exist inside. ``path`` is the PATH of everything.
    ``python`` runs the steps in Python; ``source`` is put on its path when that is Ripple's own.
    """

    system: str
    smoke: Smoke
    component: Component | None = None
    names: dict[str, str]
    path: str
    base: str
    python: str
    source: str = ""
    modules: str = ""
    mark: str = ""
    seconds: float


class StepResult(_Message):
    """One step: ``exit`` is None when it was stopped, ``tail`` the end of what it said."""

    kind: str
    exit: int | None
    seconds: float
    reason: str = ""
    tail: str = ""

    @property
    def ok(self) -> bool:
        """Whether it did what it had to."""
        return not self.reason


class SmokeResult(_Message):
    """What became of a smoke test; ``reason`` is empty when every step did what it had to."""

    seconds: float
    ready_seconds: float | None = None
    reason: str = ""
    steps: tuple[StepResult, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all of it held."""
        return not self.reason
