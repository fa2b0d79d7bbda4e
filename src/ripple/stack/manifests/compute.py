"""``distributed/compute_policy.yaml``: where a class of work runs, how isolated and how long (Spec §10.5). Pure.

- Time limits are normalised to seconds, and a class without an isolation gets the default rung (X74).
- The class decides the rung; a policy may raise it and never lower it (X75).
- A pool is a name for what nodes have to offer (X73). A node that lacks the rung is no candidate (X82).
- Growing needs somebody who can bring nodes; without, it is asked for and nothing more (X79).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from ripple.model.errors import NotFound, Refused
from ripple.stack.manifests.nodes import Measure, Node, gpu_count
from ripple.stack.manifests.section import Section

Rung = Literal["sandbox-runtime", "kata", "firecracker"]
RUNGS: tuple[Rung, ...] = ("sandbox-runtime", "kata", "firecracker")
VIRTUAL = ("kata", "firecracker")


class ResourceRequest(Section):
    """What one piece of work of a class needs."""

    cpu: float = Field(default=0, ge=0)
    gpu: bool | int = 0
    memory_gb: float = Field(default=0, ge=0)
    storage_gb: float = Field(default=0, ge=0)
    bandwidth_mbps: float = Field(default=0, ge=0)
    timeout_seconds: float | None = Field(default=None, gt=0)
    timeout_minutes: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_limit(self) -> ResourceRequest:
        if self.timeout_seconds is not None and self.timeout_minutes is not None:
            raise ValueError("a time limit is given in seconds or in minutes, not in both")
        return self


class WorkloadClass(Section):
    """One class of work."""

    prefer: str
    fallback: str
    isolation: Rung | None = None
    data_locality: bool = False
    resource_request: ResourceRequest


class Pool(Section):
    """What a pool's name means: a build mode of ``cloud/builder_image.json``, or nodes that offer that much."""

    build_mode: str | None = None
    at_least: dict[Measure, float] = {}
    nearest: bool = Field(default=False, description="The nodes in order of their latency, the unknown ones last.")


class Scheduling(Section):
    """How work is placed and how much of it may wait."""

    algorithm: Literal["locality_aware_binpack"]
    preemption_enabled: bool
    max_queue_depth: int = Field(ge=1)
    rebalance_interval_seconds: float = Field(gt=0)


class Autoscaling(Section):
    """When nodes are added and given back."""

    enabled: bool
    min_nodes: int = Field(ge=0)
    max_nodes: int = Field(ge=1)
    scale_up_threshold: float = Field(gt=0, le=1)
    scale_down_threshold: float = Field(ge=0, lt=1)
    cooldown_seconds: float = Field(ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Autoscaling:
        if self.min_nodes > self.max_nodes or self.scale_down_threshold >= self.scale_up_threshold:
            raise ValueError("min_nodes is above max_nodes, or scale_down_threshold reaches scale_up_threshold")
        return self


class ComputePolicy(Section):
    """The policy."""

    name: str
    workload_classes: dict[str, WorkloadClass] = Field(min_length=1)
    scheduling: Scheduling
    autoscaling: Autoscaling
    default_isolation: Rung
    default_timeout_seconds: float = Field(gt=0)
    pools: dict[str, Pool]

    @model_validator(mode="after")
    def _closed(self) -> ComputePolicy:
        for name, one in self.workload_classes.items():
            if stray := {one.prefer, one.fallback} - set(self.pools):
                raise ValueError(f"{name} names {', '.join(sorted(stray))}, which pools does not explain")
        return self


class ComputeFile(Section):
    """``distributed/compute_policy.yaml``."""

    compute_policy: ComputePolicy


@dataclass(frozen=True)
class Requirements:
    """What a piece of work needs of the node that runs it."""

    prefer: str
    fallback: str
    isolation: Rung
    timeout_seconds: float
    cpu_cores: float
    memory_gb: float
    gpu: int
    storage_gb: float
    bandwidth_mbps: float
    data_locality: bool


@dataclass(frozen=True)
class Candidates:
    """Nodes that can run it, of which pool, and why each other one cannot."""

    pool: str
    nodes: tuple[Node, ...]
    fell_back: bool
    refused: dict[str, str]


@dataclass(frozen=True)
class Scaling:
    """``grow`` and ``shrink`` are done by an adapter; ``request`` only says that more would be needed."""

    action: Literal["stay", "grow", "shrink", "request"]
    nodes: int
    reason: str


def requirements(policy: ComputePolicy, kind: str, asked: Rung | None = None) -> Requirements:
    """What work of the class ``kind`` needs; ``asked`` is the rung that policy wants.

    Raises:
        NotFound: there is no such class.
        Refused: ``asked`` is weaker than the class's own rung.
    """
    found = policy.workload_classes.get(kind)
    if found is None:
        raise NotFound(f"no workload class {kind!r}; there are {', '.join(policy.workload_classes)}")
    own = found.isolation or policy.default_isolation
    if asked is not None and RUNGS.index(asked) < RUNGS.index(own):
        raise Refused(f"{kind} runs in {own}; a policy may raise that and not lower it to {asked}")
    need = found.resource_request
    minutes = None if need.timeout_minutes is None else need.timeout_minutes * 60
    return Requirements(
        prefer=found.prefer,
        fallback=found.fallback,
        isolation=asked or own,
        timeout_seconds=need.timeout_seconds or minutes or policy.default_timeout_seconds,
        cpu_cores=need.cpu,
        memory_gb=need.memory_gb,
        gpu=gpu_count(need.gpu),
        storage_gb=need.storage_gb,
        bandwidth_mbps=need.bandwidth_mbps,
        data_locality=found.data_locality,
    )


def candidates(policy: ComputePolicy, need: Requirements, nodes: Sequence[Node], data: str = "") -> Candidates:
    """The nodes of the preferred pool that can run it, or else of the fallback's; where there is none, why."""
    refused: dict[str, str] = {}
    for pool, fell_back in ((need.prefer, False), (need.fallback, True)):
        eased = fell_back and need.gpu > 0
        reasons = {node.id: _refusal(policy.pools[pool], need, node, data, eased) for node in nodes}
        fitting = tuple(node for node in nodes if not reasons[node.id])
        if fitting:
            ordered = _nearest_first(fitting) if policy.pools[pool].nearest else fitting
            return Candidates(pool, ordered, fell_back, {name: why for name, why in reasons.items() if why})
        refused = reasons
    return Candidates(need.fallback, (), True, refused)


def rungs_of(platform: str, *, kvm: bool) -> frozenset[str]:
    """The rungs a machine can offer: the virtual ones want Linux and KVM, also on macOS's own hardware (X82)."""
    return frozenset(RUNGS if platform == "linux" and kvm else set(RUNGS) - set(VIRTUAL))


def admits(policy: ComputePolicy, waiting: int) -> None:
    """Nothing, or Refused when as many wait as may."""
    most = policy.scheduling.max_queue_depth
    if waiting >= most:
        raise Refused(f"{waiting} tasks wait and {most} may; try again later or raise scheduling.max_queue_depth")


def scale(policy: ComputePolicy, nodes: int, load: float, idle_seconds: float, *, adapter: bool) -> Scaling:
    """What to do at ``load`` (0 to 1) on ``nodes``, ``idle_seconds`` after the last time; one node at a time."""
    rule = policy.autoscaling
    if not rule.enabled:
        return Scaling("stay", nodes, "autoscaling is off")
    if idle_seconds < rule.cooldown_seconds:
        return Scaling("stay", nodes, f"it cools down for another {rule.cooldown_seconds - idle_seconds:g} s")
    grow, shrink = load >= rule.scale_up_threshold, load <= rule.scale_down_threshold
    wanted = max(rule.min_nodes, min(rule.max_nodes, nodes + grow - shrink))
    if wanted == nodes:
        return Scaling("stay", nodes, f"a load of {load:g} on {nodes} nodes asks for no other number")
    if not adapter:
        return Scaling("request", nodes, f"{wanted} nodes are wanted and nothing here can bring or return them")
    return Scaling("grow" if wanted > nodes else "shrink", wanted, f"the load is {load:g}")


def _nearest_first(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    return tuple(sorted(nodes, key=lambda node: (node.latency_ms is None, node.latency_ms or 0, node.id)))


def _refusal(pool: Pool, need: Requirements, node: Node, data: str, eased: bool) -> str:
    """Why ``node`` cannot run it, or nothing; ``eased`` lets work for an accelerator run without one."""
    if not node.online:
        return "is offline"
    if pool.build_mode is not None and pool.build_mode not in node.build_modes:
        return f"runs no {pool.build_mode} builds"
    if need.isolation not in node.isolation:
        return f"offers no {need.isolation}"
    if need.data_locality and data and data not in node.holds:
        return f"does not hold {data}"
    wanted: dict[Measure, float] = {**pool.at_least}
    measures: tuple[Measure, ...] = ("cpu_cores", "memory_gb", "gpu", "storage_gb", "bandwidth_mbps")
    for measure in measures:
        own = 0 if eased and measure == "gpu" else float(getattr(need, measure))
        wanted[measure] = max(wanted.get(measure, 0), own)
    short = [f"{name} {value:g}" for name, value in wanted.items() if (getattr(node, name) or 0) < value]
    return f"has less than {', '.join(short)}" if short else ""
