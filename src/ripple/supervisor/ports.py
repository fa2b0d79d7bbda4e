"""The ports of components: allocated once, remembered, and given up only when somebody else sits on one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from ripple.model.component import Component
from ripple.supervisor.loopback import free_ports, is_taken
from ripple.supervisor.places import write_whole


class Ports:
    """The table ``{component: {port name: number}}``, kept in one JSON file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._table = _load(path)
        self._saved = ""

    @property
    def table(self) -> Mapping[str, Mapping[str, int]]:
        """All ports there are."""
        return self._table

    def of(self, component: str) -> Mapping[str, int]:
        """The ports of one component."""
        return self._table.get(component, {})

    def ensure(self, components: Iterable[Component]) -> None:
        """Give every component the ports it names; those it had stay, those it names no more go."""
        for component in components:
            had = self._table.pop(component.id, {})
            kept = {name: had[name] for name in component.ports if name in had}
            for name in component.ports:
                if name not in kept:
                    kept[name] = self._fresh(kept.values())
            if kept:
                self._table[component.id] = kept

    def vacate(self, component: str) -> list[str]:
        """Move the component's ports that cannot be bound now; returns one sentence for each.

        Only ask while the component does not run: it would be found sitting on its own port.
        """
        own = self._table.get(component, {})
        notices = []
        for name, port in list(own.items()):
            if is_taken(port):
                own[name] = self._fresh(())
                notices.append(
                    f"port {port} is taken by a foreign process; {component}.{name} moves to {own[name]}"
                )
        return notices

    def put(self, component: str, ports: Mapping[str, int]) -> None:
        """Have exactly these ports for a component; none when it is gone for good."""
        self._table.pop(component, None)
        if ports:
            self._table[component] = dict(ports)

    def save(self) -> None:
        """Write the table if it differs from what was written last."""
        text = json.dumps(self._table, indent=1, sort_keys=True) + "\n"
        if text != self._saved:
            write_whole(self._path, text)
            self._saved = text

    def _fresh(self, also_taken: Iterable[int]) -> int:
        taken = {port for ports in self._table.values() for port in ports.values()} | set(also_taken)
        return free_ports(1, taken)[0]


def _load(path: Path) -> dict[str, dict[str, int]]:
    """What was remembered; a file that cannot be used only costs the memory of the numbers."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(component): {str(name): port for name, port in ports.items() if _is_port(port)}
            for component, ports in found.items()
        }
    except (OSError, ValueError, AttributeError):
        return {}


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 16
