"""The supervisor's plan with a clock and processes of the imagination, for scenarios."""

from __future__ import annotations

from typing import Any

from ripple.model.component import Component, ComponentState, Probe, Restart
from ripple.supervisor import plan
from ripple.supervisor.plan import Action, Unit, Verb

PROBE = Probe(kind="tcp", target="x:1", failures=3)


def component(
    name: str, *requires: str, live: bool = True, restart: Restart | None = None, **given: Any
) -> Component:
    """A row with ten seconds to start and five to stop, asked whether it is ready and, with ``live``, alive."""
    found = Component(
        id=name,
        name=name,
        command=("true",),
        requires=requires,
        startup_seconds=10,
        stop_seconds=5,
        ready=PROBE,
        live=PROBE if live else None,
        restart=restart or Restart(),
    )
    return found.model_copy(update=given)


class World:
    """The units with a clock, and the processes there would be."""

    def __init__(self, *components: Component) -> None:
        self.now = 1000.0
        self.units: dict[str, Unit] = {one.id: Unit(one, "v1") for one in components}
        self.alive: set[str] = set()
        self.log: list[tuple[Verb, str]] = []
        self.step()

    def step(self) -> list[Action]:
        self.units, actions = plan.step(self.units, self.now)
        for action in actions:
            self.log.append((action.verb, action.id))
            if action.verb is Verb.START:
                assert action.id not in self.alive, "never two processes"
                self.alive.add(action.id)
            else:
                assert action.id in self.alive, "only what runs is stopped"
            assert action.reason
        return actions

    def wait(self, seconds: float) -> list[Action]:
        self.now += seconds
        return self.step()

    def started(self, name: str, failure: str = "") -> None:
        self.units[name] = plan.seen_startup(self.units[name], self.now, failure)
        self.step()

    def ready(self, name: str, failure: str = "") -> None:
        self.units[name] = plan.seen_ready(self.units[name], self.now, failure)
        self.step()

    def live(self, name: str, failure: str = "") -> None:
        self.units[name] = plan.seen_live(self.units[name], failure)
        self.step()

    def exit(self, name: str, code: int | None = 1, jitter: float = 0.0) -> None:
        self.alive.discard(name)
        self.units[name] = plan.exited(self.units[name], self.now, code, jitter)
        self.step()

    def restart(self, *names: str) -> None:
        """An operator asks for all of these at once, as for a group."""
        for name in names:
            self.units[name] = plan.restart_asked(self.units[name], self.now)
        self.step()

    def stop(self, *names: str) -> None:
        """An operator stops these, as a group."""
        self.units |= {name: plan.unwanted(self.units[name]) for name in names}
        self.step()

    def want(self, *names: str) -> None:
        """An operator starts these again."""
        self.units |= {name: plan.wanted(self.units[name], self.now) for name in names}
        self.step()

    def down(self) -> None:
        self.units = {name: plan.unwanted(unit) for name, unit in self.units.items()}
        self.step()

    def state(self, name: str = "a") -> ComponentState:
        return self.units[name].state
