"""Templates of component rows: ``{bin}``, ``{ports.http}``, ``{peer.nats.client}``; ``{{`` is a brace. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ripple.model.errors import Invalid, unknown_key

_TOKEN = re.compile(r"\{\{|\}\}|\{([A-Za-z0-9._-]+)\}|[{}]")


@dataclass(frozen=True)
class Names:
    """What the names of one component's templates stand for; ``peers`` maps component ids to their ports."""

    folders: Mapping[str, str]
    ports: Mapping[str, int] = field(default_factory=dict)
    peers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def flat(self) -> dict[str, str]:
        """Every name as it is written, with its value."""
        own = {f"ports.{name}": str(port) for name, port in self.ports.items()}
        others = {
            f"peer.{peer}.{name}": str(port) for peer, ports in self.peers.items() for name, port in ports.items()
        }
        return {**self.folders, **own, **others}


def render(text: str, names: Mapping[str, str], where: str) -> str:
    """``text`` with every ``{name}`` replaced once; values are never looked at again.

    Raises:
        Invalid: a name is unknown (the nearest one is named) or a brace stands alone.
    """

    def replaced(token: re.Match[str]) -> str:
        name = token[1]
        if name is None:
            if token[0] in ("{{", "}}"):
                return token[0][0]
            raise Invalid(
                f"a single {token[0]!r} in {where}: {text[:80]!r}; write it twice if it is meant as it is"
            )
        if name not in names:
            raise unknown_key(name, names, f"the templates of {where}")
        return names[name]

    return _TOKEN.sub(replaced, text)
