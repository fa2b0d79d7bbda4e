"""``holochain/conductor.yaml``: a conductor's configuration in our form (Spec §9.7), and in each version's. Pure.

- ``${VAR}`` is replaced here, because no conductor does it; one that is not set is an error (X60).
- Each version's own form is written out: since 0.6 an unknown key keeps a conductor from starting.
- ``allowed_origins: "*"`` lets any web page drive the conductor: it is narrowed, and warned of (X61).
- What a version cannot be told is listed, never dropped silently.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from ripple.model.errors import Invalid, Refused
from ripple.stack.manifests.networks import Resolved
from ripple.stack.manifests.section import Section

_VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
NARROW = "ripple"
BOOTSTRAP, SIGNAL = "HOLOCHAIN_BOOTSTRAP_URL", "HOLOCHAIN_SIGNAL_URL"


class Keystore(Section):
    """Where the keys are."""

    type: Literal["lair_server", "lair_server_in_proc"]
    connection_url: str = ""


class Driver(Section):
    """How the admin interface is spoken to."""

    type: Literal["websocket"]
    port: int = Field(ge=0, le=65535)
    allowed_origins: str = Field(min_length=1)


class Interface(Section):
    """One admin interface."""

    driver: Driver


class Transport(Section):
    """One transport."""

    type: Literal["webrtc"]
    signal_url: str


class NetworkPart(Section):
    """How the conductor finds and reaches others."""

    bootstrap_service: str
    transport_pool: tuple[Transport, ...] = Field(min_length=1, max_length=1)


class Tuning(Section):
    """How often it gossips and how long it believes what it heard of an agent."""

    gossip_loop_iteration_delay_ms: int = Field(ge=1)
    agent_info_expires_after_ms: int = Field(ge=1000)


class Conductor(Section):
    """``holochain/conductor.yaml``."""

    environment_path: str
    keystore: Keystore
    admin_interfaces: tuple[Interface, ...] = Field(min_length=1)
    network: NetworkPart
    tuning_params: Tuning


@dataclass(frozen=True)
class Options:
    """What an instance says besides the file. ``admin_port`` None keeps the file's."""

    origins: str = NARROW
    admin_port: int | None = None
    lair_public_key: str = ""
    local_bootstrap_url: str = ""
    relay_url: str = ""


@dataclass(frozen=True)
class Rendered:
    """A native configuration and what has to be said about it."""

    config: dict[str, Any]
    warnings: tuple[str, ...]


def variables(network: Resolved, options: Options = Options()) -> dict[str, str]:
    """The two variables that a network gives.

    Raises:
        Refused: the network has no bootstrap server; a conductor has no discovery of its own (X63).
    """
    bootstrap = network.bootstrap_url or options.local_bootstrap_url
    if not bootstrap:
        raise Refused(
            f"{network.name} has no bootstrap server and a conductor finds nobody without; start a local one"
        )
    return {BOOTSTRAP: bootstrap, SIGNAL: network.signal_url or re.sub("^http", "ws", bootstrap)}


def render(
    conductor: Conductor, version: str, environment: Mapping[str, str], options: Options = Options()
) -> Rendered:
    """The configuration that a conductor of ``version`` (like ``0.4.0``) reads.

    Raises:
        Invalid: a variable is not set, or the version is none that is known.
    """
    said = Conductor.model_validate(_expanded(conductor.model_dump(), environment))
    warnings: list[str] = []
    form = {"0.4": _before_kitsune2, "0.5": _webrtc, "0.6": _webrtc, "0.7": _relayed}.get(
        version.rpartition(".")[0]
    )
    if form is None:
        raise Invalid(f"no form of configuration is known for holochain {version}; known: 0.4, 0.5, 0.6, 0.7")
    config = {
        "data_root_path": said.environment_path,
        "keystore": _keystore(said, options, warnings),
        "admin_interfaces": [_interface(one, options, warnings) for one in said.admin_interfaces],
        **form(said, options, warnings),
    }
    return Rendered(config, tuple(warnings))


def _expanded(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _expanded(one, environment) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_expanded(one, environment) for one in value]
    return (
        _VARIABLE.sub(lambda found: _variable(found[1], environment), value) if isinstance(value, str) else value
    )


def _variable(name: str, environment: Mapping[str, str]) -> str:
    if name not in environment:
        raise Invalid(f"holochain/conductor.yaml names ${{{name}}}, which is not set; set it or resolve a network")
    return environment[name]


def _keystore(said: Conductor, options: Options, warnings: list[str]) -> dict[str, Any]:
    if said.keystore.type != "lair_server":
        return {"type": said.keystore.type}
    if not options.lair_public_key:
        warnings.append("lair refuses a connection without the key of its server; give lair_public_key")
        return {"type": "lair_server", "connection_url": said.keystore.connection_url}
    return {"type": "lair_server", "connection_url": f"{said.keystore.connection_url}?k={options.lair_public_key}"}


def _interface(one: Interface, options: Options, warnings: list[str]) -> dict[str, Any]:
    origins = one.driver.allowed_origins
    if origins == "*" and options.origins == "*":
        warnings.append("any web page may drive the conductor: allowed_origins is '*'")
    elif origins == "*":
        warnings.append(f"allowed_origins '*' was narrowed to {options.origins!r}")
        origins = options.origins
    port = one.driver.port if options.admin_port is None else options.admin_port
    return {"driver": {"type": one.driver.type, "port": port, "allowed_origins": origins}}


def _before_kitsune2(said: Conductor, options: Options, warnings: list[str]) -> dict[str, Any]:
    network = {
        "bootstrap_service": said.network.bootstrap_service,
        "network_type": "quic_bootstrap",
        "transport_pool": [one.model_dump() for one in said.network.transport_pool],
        "tuning_params": {
            "gossip_loop_iteration_delay": said.tuning_params.gossip_loop_iteration_delay_ms,
            "agent_info_expires_after_ms": said.tuning_params.agent_info_expires_after_ms,
        },
    }
    return {"network": network}


def _webrtc(said: Conductor, options: Options, warnings: list[str]) -> dict[str, Any]:
    signal = {"signal_url": said.network.transport_pool[0].signal_url}
    return {"network": {"bootstrap_url": said.network.bootstrap_service, **signal, **_kitsune2(said, warnings)}}


def _relayed(said: Conductor, options: Options, warnings: list[str]) -> dict[str, Any]:
    url = said.network.bootstrap_service
    relay = options.relay_url or url
    warnings.append(f"signal_url was left out: this version reaches others through a relay, here {relay}")
    return {"network": {"bootstrap_url": url, "relay_url": relay, **_kitsune2(said, warnings)}}


def _kitsune2(said: Conductor, warnings: list[str]) -> dict[str, Any]:
    delay = said.tuning_params.gossip_loop_iteration_delay_ms
    warnings.append("agent_info_expires_after_ms was left out: this version has no such setting")
    gossip = {"initiateIntervalMs": delay, "minInitiateIntervalMs": delay}
    return {"target_arc_factor": 1, "advanced": {"k2Gossip": gossip}}
