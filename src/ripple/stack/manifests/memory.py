"""``distributed/memory_policy.yaml``: vectors, caches and how they agree (Spec §10.7). Pure.

- What is effective is the smaller of what is asked for and what there is, and says that it is degraded (X78).
- Sessions and counters are never evicted: they live in another instance than what may go (X77).
- The last write is the later one by hybrid logical clock, then by node (X24).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from ripple.model.errors import NotFound
from ripple.stack.manifests.section import Section

Eviction = Literal["noeviction", "allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-ttl"]


class Sharding(Section):
    """How vectors are cut up."""

    strategy: Literal["consistent_hash"]
    shard_count: int = Field(ge=1)
    replication_factor: int = Field(ge=1)


class VectorStore(Section):
    """Where vectors are, and who says which node has which shard."""

    backend: Literal["ruvector"]
    sharding: Sharding
    coordination: Literal["holochain_memory_shards"]


class CacheSection(Section):
    """The cache on many nodes. ``keyspaces`` says of each kind of key whether it may be evicted."""

    backend: Literal["redis_cluster", "redis"]
    nodes: int = Field(ge=1)
    memory_per_node_gb: float = Field(gt=0)
    eviction_policy: Eviction
    keyspaces: dict[str, Literal["evictable", "kept"]] = Field(min_length=1)


class PromptCache(Section):
    """Answers that were given before; ``backends`` are asked in order."""

    enabled: bool
    backends: tuple[Literal["vcache", "prompt-cache"], ...]
    ttl_seconds: float = Field(gt=0)
    max_entries: int = Field(ge=1)


class Sync(Section):
    """How nodes learn of each other's writes."""

    gossip_interval_ms: int = Field(ge=1)
    full_sync_interval_seconds: float = Field(gt=0)
    conflict_resolution: Literal["last_write_wins"]


class MemoryPolicy(Section):
    """The policy."""

    name: str
    vector_store: VectorStore
    cache: CacheSection
    prompt_cache: PromptCache
    sync: Sync

    @model_validator(mode="after")
    def _backends(self) -> MemoryPolicy:
        if self.prompt_cache.enabled and not self.prompt_cache.backends:
            raise ValueError("the prompt cache is enabled and has no backends")
        return self


class MemoryFile(Section):
    """``distributed/memory_policy.yaml``."""

    memory_policy: MemoryPolicy


@dataclass(frozen=True)
class Effective:
    """What holds on the nodes there are; ``degraded`` names each wish that is not met."""

    shards: int
    replicas: int
    cache_masters: int
    cache_replicas: int
    cache_memory_gb: float
    degraded: tuple[str, ...]


@dataclass(frozen=True, order=True)
class Stamp:
    """A moment: milliseconds, a counter within one, and the node. A later one wins."""

    milliseconds: int
    counter: int
    node: str


def effective(policy: MemoryPolicy, nodes: int, memory_gb: float) -> Effective:
    """What the policy comes to on ``nodes`` with ``memory_gb`` for caches each."""
    sharding, cache = policy.vector_store.sharding, policy.cache
    replicas, members = min(sharding.replication_factor, nodes), min(cache.nodes, nodes)
    memory = min(cache.memory_per_node_gb, memory_gb)
    masters = max(1, members // 2) if members else 0
    wished = (
        ("replicas of a shard", replicas, sharding.replication_factor),
        ("nodes of the cache", members, cache.nodes),
        ("GB of cache on a node", memory, cache.memory_per_node_gb),
    )
    short = tuple(f"{there:g} of {wanted:g} {what}" for what, there, wanted in wished if there < wanted)
    return Effective(sharding.shard_count, replicas, masters, members - masters, memory, short)


def eviction(policy: MemoryPolicy, keyspace: str) -> Eviction:
    """What happens to the keys of a kind when memory is short; NotFound for a kind that is not listed."""
    found = policy.cache.keyspaces.get(keyspace)
    if found is None:
        raise NotFound(f"no keyspace {keyspace!r} in the cache; there are {', '.join(policy.cache.keyspaces)}")
    return policy.cache.eviction_policy if found == "evictable" else "noeviction"


def instances(policy: MemoryPolicy, memory_gb: float) -> dict[str, str]:
    """One configuration for each way of evicting that is used, the memory shared out evenly; Redis's own form."""
    ways: dict[Eviction, list[str]] = {}
    for keyspace in policy.cache.keyspaces:
        ways.setdefault(eviction(policy, keyspace), []).append(keyspace)
    clustered = "yes" if policy.cache.backend == "redis_cluster" else "no"
    share = int(min(memory_gb, policy.cache.memory_per_node_gb) * 1024 / len(ways))
    return {
        ", ".join(kept): f"maxmemory {share}mb\nmaxmemory-policy {way}\ncluster-enabled {clustered}\n"
        for way, kept in ways.items()
    }


def lookups(policy: MemoryPolicy, *, voting: bool) -> tuple[str, ...]:
    """The prompt caches to ask, in order; none for a vote, which must be answered afresh (X38)."""
    return policy.prompt_cache.backends if policy.prompt_cache.enabled and not voting else ()


def winner(one: Stamp, other: Stamp) -> Stamp:
    """Which of two writes stands."""
    return max(one, other)
