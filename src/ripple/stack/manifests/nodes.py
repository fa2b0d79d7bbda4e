"""A node of the mesh as the settings of ``manifests/distributed`` look at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ResourceType = Literal["compute", "inference", "storage", "memory"]
Measure = Literal[
    "cpu_cores",
    "memory_gb",
    "gpu",
    "gpu_vram_gb",
    "storage_gb",
    "bandwidth_mbps",
    "latency_ms",
    "tokens_per_second",
    "cost_per_hour",
]


@dataclass(frozen=True)
class Node:
    """What is free on a node. ``isolation`` are the rungs it offers, ``holds`` its data; None is unknown."""

    id: str
    cpu_cores: float = 0
    memory_gb: float = 0
    gpu: int = 0
    gpu_vram_gb: float = 0
    storage_gb: float = 0
    bandwidth_mbps: float = 0
    latency_ms: float | None = None
    tokens_per_second: float | None = None
    cost_per_hour: float | None = None
    isolation: frozenset[str] = frozenset()
    build_modes: frozenset[str] = frozenset()
    holds: frozenset[str] = frozenset()
    online: bool = True


def gpu_count(asked: bool | int | None) -> int:
    """How many accelerators a request means: the specification asks for ``true`` as well as for a number (X72)."""
    return int(asked or 0)
