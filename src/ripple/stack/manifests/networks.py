"""``holochain/networks.json``: the three networks of the mesh (Spec §9.4). Pure.

- Without a name the default is taken, which is the local one (X65).
- Every network has a seed of its own, so that two never mix even on one bootstrap server (X64).
- A pruned network gets a new seed each period; what was in the old one is left behind (X22).
- Servers marked as examples are not ours: they are warned of, and another can be given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from ripple.model.errors import NotFound
from ripple.stack.manifests.section import Document, Section

Name = Literal["mainnet", "testnet", "local"]


class Network(Section):
    """One network. ``prune_days`` is the length of an epoch; ``session_only`` ends with the node."""

    purpose: str = ""
    bootstrap_url: str | None = Field(pattern=r"^https?://")
    signal_url: str | None = Field(pattern=r"^wss?://")
    relay_url: str | None = Field(default=None, pattern=r"^https?://")
    discovery: Literal["bootstrap", "mdns"] = "bootstrap"
    network_seed: str = Field(min_length=8)
    persistence: Literal["permanent", "pruned", "session"]
    prune_days: int | None = Field(default=None, ge=1)
    example: bool = False

    @model_validator(mode="after")
    def _reachable(self) -> Network:
        if self.discovery == "bootstrap" and self.bootstrap_url is None:
            raise ValueError("a network without mdns needs a bootstrap_url")
        if (self.persistence == "pruned") != (self.prune_days is not None):
            raise ValueError("prune_days stands exactly where persistence is pruned")
        return self


class Networks(Document):
    """``holochain/networks.json``."""

    default: Name = "local"
    mainnet: Network
    testnet: Network
    local: Network

    @model_validator(mode="after")
    def _apart(self) -> Networks:
        if len({one.network_seed for one in (self.mainnet, self.testnet, self.local)}) != 3:
            raise ValueError("two networks have one seed; they would be one network")
        return self


@dataclass(frozen=True)
class Resolved:
    """A network as a node joins it."""

    name: str
    bootstrap_url: str | None
    signal_url: str | None
    relay_url: str | None
    discovery: str
    seed: str
    persistence: str
    warnings: tuple[str, ...]


def resolve(networks: Networks, name: str = "", *, day: int = 0, bootstrap_override: str = "") -> Resolved:
    """The network called ``name``, with or without ``ripple-`` in front; the default one if empty.

    ``day`` is the days since 1970-01-01 and decides the epoch of a pruned network.

    Raises:
        NotFound: there is no such network.
    """
    short = name.removeprefix("ripple-") or networks.default
    found = {"mainnet": networks.mainnet, "testnet": networks.testnet, "local": networks.local}.get(short)
    if found is None:
        raise NotFound(f"no network {name!r}; there are mainnet, testnet and local")
    warnings = []
    if found.example and not bootstrap_override:
        warnings.append(f"{found.bootstrap_url} is an example, not a server of ours; give a bootstrap_override")
    return Resolved(
        name=f"ripple-{short}",
        bootstrap_url=bootstrap_override or found.bootstrap_url,
        signal_url=found.signal_url,
        relay_url=found.relay_url,
        discovery=found.discovery,
        seed=f"{found.network_seed}.{day // found.prune_days}" if found.prune_days else found.network_seed,
        persistence=found.persistence,
        warnings=tuple(warnings),
    )
