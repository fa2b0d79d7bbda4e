"""The settings of the mesh: classes of hardware and work, quotas, tiers and shards."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.stack.manifests.shipped import SPECIFICATION, changed, load

from ripple.model.errors import Invalid, NotFound, Refused
from ripple.stack.manifests import compute, memory, resources, storage
from ripple.stack.manifests.compute import ComputeFile, Rung
from ripple.stack.manifests.hardware import Facts, HardwareClasses, classify
from ripple.stack.manifests.memory import MemoryFile, Stamp
from ripple.stack.manifests.nodes import Node, ResourceType
from ripple.stack.manifests.resources import Asked, Presence, ResourceFile
from ripple.stack.manifests.storage import Held, Step, StorageFile

HARDWARE = load("distributed/hardware_classes.json", HardwareClasses)
COMPUTE = load("distributed/compute_policy.yaml", ComputeFile).compute_policy
STORAGE = load("distributed/storage_policy.yaml", StorageFile).storage_policy
MEMORY = load("distributed/memory_policy.yaml", MemoryFile).memory_policy
RESOURCES = load("distributed/resource_policy.yaml", ResourceFile).resource_policy
REGIONS = ("us-west", "us-east", "eu-west")
ALL = frozenset(compute.RUNGS)


def test_the_five_hardware_classes_are_the_specifications() -> None:
    found = {one.name: one for one in HARDWARE.classes}
    assert len(found) == 5
    for name, examples, role, workloads in SPECIFICATION["hardware"]:
        one = found[name]
        assert (", ".join(one.examples), one.holochain_role) == (examples, role)
        assert ", ".join(one.typical_workloads) == workloads


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"os": "android", "battery": True}, "mobile"),
        ({"os": "linux", "cpu_arch": "aarch64", "board": "NVIDIA Jetson Orin Nano"}, "iot-arm"),
        ({"os": "linux", "board": "Raspberry Pi 5 Model B Rev 1.0", "display": True}, "iot-arm"),
        ({"os": "linux", "hypervisor": "amazon", "gpu_vram_gb": 80.0, "display": False}, "cloud-vm"),
        ({"os": "linux", "gpu_vram_gb": 24.0, "display": False}, "edge-server"),
        ({"os": "linux", "chassis": "rack"}, "edge-server"),
        ({"os": "linux", "gpu_vram_gb": 24.0, "display": True}, "desktop"),
        ({"os": "linux", "hypervisor": "wsl", "display": True}, "desktop"),
        ({"os": "darwin", "chassis": "laptop"}, "desktop"),
    ],
)
def test_a_machine_is_of_the_first_class_whose_rule_holds(facts: Facts, kind: str) -> None:
    found = classify(HARDWARE, facts)
    assert found.kind.id == kind
    assert found.because
    assert found.admitted is (kind != "mobile")


@pytest.mark.parametrize(
    "facts", [{}, {"os": "linux"}, {"gpu_vram_gb": 24.0}, {"display": False, "gpu_vram_gb": 4}]
)
def test_a_machine_nobody_knows_enough_of_has_no_class(facts: Facts) -> None:
    with pytest.raises(NotFound, match="no hardware class fits"):
        classify(HARDWARE, facts)


def test_a_condition_is_exactly_one() -> None:
    with pytest.raises(Invalid, match="exactly one"):
        changed("distributed/hardware_classes.json", classes__0__rules=[[{"fact": "os"}]])


@pytest.mark.parametrize(
    ("kind", "need"),
    [
        ("build", ("cloud-ephemeral", "local-containerized", "firecracker", 3600, 4, 16, 0, 0, 0, False)),
        ("inference", ("gpu-node-pool", "cpu-moe-distributed", "kata", 120, 0, 24, 1, 0, 0, False)),
        ("storage_heavy", ("storage-tier-nodes", "any-available", "kata", 3600, 0, 0, 0, 100, 500, True)),
        ("agent_task", ("nearest-available", "any-available", "sandbox-runtime", 1800, 1, 4, 0, 0, 0, False)),
    ],
)
def test_a_class_of_work_asks_for_what_the_specification_says_in_seconds(kind: str, need: tuple[Any, ...]) -> None:
    assert astuple(compute.requirements(COMPUTE, kind)) == need


def test_a_class_that_is_not_there_is_refused() -> None:
    with pytest.raises(NotFound, match="build, inference, storage_heavy, agent_task"):
        compute.requirements(COMPUTE, "mining")


@pytest.mark.parametrize("kind", COMPUTE.workload_classes)
@pytest.mark.parametrize("asked", compute.RUNGS)
def test_policy_raises_the_rung_of_a_class_and_never_lowers_it(kind: str, asked: Rung) -> None:
    own = compute.requirements(COMPUTE, kind).isolation
    if compute.RUNGS.index(asked) >= compute.RUNGS.index(own):
        assert compute.requirements(COMPUTE, kind, asked).isolation == asked
    else:
        with pytest.raises(Refused, match="not lower it"):
            compute.requirements(COMPUTE, kind, asked)


@pytest.mark.parametrize(
    ("platform", "kvm", "rungs"),
    [("linux", True, ALL), ("linux", False, {"sandbox-runtime"}), ("darwin", True, {"sandbox-runtime"})],
)
def test_the_virtual_rungs_are_there_on_linux_with_kvm_only(platform: str, kvm: bool, rungs: set[str]) -> None:
    assert compute.rungs_of(platform, kvm=kvm) == rungs


def node(name: str, **given: Any) -> Node:
    """A large node, with some of it otherwise."""
    large = {"cpu_cores": 64, "memory_gb": 256, "storage_gb": 5000, "bandwidth_mbps": 1000, "isolation": ALL}
    return Node(name, **{**large, **given})


def test_the_preferred_pool_is_taken_and_else_its_fallback() -> None:
    need = compute.requirements(COMPUTE, "inference")
    both = compute.candidates(COMPUTE, need, [node("cpu"), node("gpu", gpu=1)])
    assert (both.pool, [one.id for one in both.nodes], both.fell_back) == ("gpu-node-pool", ["gpu"], False)
    assert both.refused == {"cpu": "has less than gpu 1"}
    alone = compute.candidates(COMPUTE, need, [node("cpu")])
    assert (alone.pool, [one.id for one in alone.nodes], alone.fell_back) == ("cpu-moe-distributed", ["cpu"], True)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"online": False}, "offline"),
        ({"isolation": frozenset({"sandbox-runtime"})}, "offers no kata"),
        ({"memory_gb": 8}, "memory_gb 24"),
        ({"cpu_cores": 2}, "cpu_cores 4"),
    ],
)
def test_a_node_that_lacks_something_is_no_candidate_and_told_why(given: dict[str, Any], why: str) -> None:
    need = compute.requirements(COMPUTE, "inference")
    found = compute.candidates(COMPUTE, need, [node("one", **given)])
    assert found.nodes == ()
    assert why in found.refused["one"]


def test_work_on_data_goes_to_who_holds_it() -> None:
    need = compute.requirements(COMPUTE, "storage_heavy")
    nodes = [node("far"), node("near", holds=frozenset({"cid"}))]
    assert [one.id for one in compute.candidates(COMPUTE, need, nodes, "cid").nodes] == ["near"]
    assert len(compute.candidates(COMPUTE, need, nodes).nodes) == 2


def test_an_agents_task_goes_to_the_nearest_and_the_unknown_comes_last() -> None:
    nodes = [node("unknown"), node("far", latency_ms=80.0), node("near", latency_ms=2.0)]
    need = compute.requirements(COMPUTE, "agent_task")
    assert [one.id for one in compute.candidates(COMPUTE, need, nodes).nodes] == ["near", "far", "unknown"]


def test_a_build_goes_where_its_mode_runs() -> None:
    need = compute.requirements(COMPUTE, "build")
    nodes = [node("plain"), node("containers", build_modes=frozenset({"local-containerized"}))]
    found = compute.candidates(COMPUTE, need, nodes)
    assert (found.pool, [one.id for one in found.nodes]) == ("local-containerized", ["containers"])


def test_a_pool_that_is_not_explained_and_two_time_limits_are_refused() -> None:
    with pytest.raises(Invalid, match="moon-base"):
        changed("distributed/compute_policy.yaml", compute_policy__workload_classes__build__prefer="moon-base")
    with pytest.raises(Invalid, match="not in both"):
        path = "compute_policy__workload_classes__build__resource_request__timeout_seconds"
        changed("distributed/compute_policy.yaml", **{path: 5})


@pytest.mark.parametrize(("asked", "count"), [(True, 1), (False, 0), (None, 0), (3, 3)])
def test_an_accelerator_is_asked_for_by_yes_or_by_number(asked: bool | int | None, count: int) -> None:
    assert resources.amounts({"gpu": asked, "cpu_cores": 2, "model_name": "m"}) == {
        "cpu_cores": 2.0, **({"gpu": count} if count else {}),
    }  # fmt: skip


def test_the_queue_takes_a_thousand_and_refuses_the_next() -> None:
    compute.admits(COMPUTE, 999)
    with pytest.raises(Refused, match="1000 tasks wait"):
        compute.admits(COMPUTE, 1000)


@pytest.mark.parametrize(
    ("nodes", "load", "idle", "adapter", "action", "after"),
    [
        (5, 0.8, 300, True, "grow", 6),
        (5, 0.79, 300, True, "stay", 5),
        (5, 0.3, 300, True, "shrink", 4),
        (5, 0.31, 300, True, "stay", 5),
        (5, 1.0, 299, True, "stay", 5),
        (100, 1.0, 300, True, "stay", 100),
        (1, 0.0, 300, True, "stay", 1),
        (5, 1.0, 300, False, "request", 5),
        (5, 0.0, 300, False, "request", 5),
    ],
)
def test_nodes_come_and_go_within_bounds_and_only_by_an_adapter(
    nodes: int, load: float, idle: float, adapter: bool, action: str, after: int
) -> None:
    found = compute.scale(COMPUTE, nodes, load, idle, adapter=adapter)
    assert (found.action, found.nodes) == (action, after)


@settings(deadline=None)
@given(
    nodes=st.integers(0, 200), load=st.floats(0, 1), idle=st.floats(0, 1000), adapter=st.booleans()
)  # fmt: skip
def test_the_number_of_nodes_never_leaves_its_bounds_by_growing_or_shrinking(
    nodes: int, load: float, idle: float, adapter: bool
) -> None:
    found = compute.scale(COMPUTE, nodes, load, idle, adapter=adapter)
    if found.action in ("grow", "shrink"):
        assert 1 <= found.nodes <= 100
        assert adapter
        assert idle >= 300
    else:
        assert found.nodes == nodes


@pytest.mark.parametrize(
    ("held", "regions", "tier", "copies", "steps"),
    [
        (Held(1), REGIONS, "hot", 3, ()),
        (Held(50), REGIONS, "hot", 3, ()),
        (Held(1, 89.9), REGIONS, "hot", 3, ()),
        (Held(1), ("us-west",), "hot", 1, ()),
        (Held(1), (), "hot", 0, ()),
        (Held(1, 90), REGIONS, "cold", 2, (Step.ARCHIVE,)),
        (Held(1, 90, cold_pins=1), REGIONS, "cold", 2, (Step.ARCHIVE,)),
        (Held(1, 90, cold_pins=2), REGIONS, "cold", 2, (Step.DROP_HOT,)),
        (Held(1, 900, frozenset({"release"}), cold_pins=2), REGIONS, "cold", 2, ()),
        (Held(1, 5, frozenset({"archive"})), REGIONS, "cold", 2, (Step.ARCHIVE,)),
        (Held(1, 5, frozenset({"archive"}), cold_pins=2), REGIONS, "cold", 2, ()),
        (Held(1, 900, frozenset({"popular"})), REGIONS, "warm", 3, (Step.PIN,)),
        (Held(1, 900, frozenset({"popular"}), providers=2), REGIONS, "warm", 3, (Step.REPAIR,)),
        (Held(1, 900, frozenset({"popular"}), providers=3), REGIONS, "warm", 3, ()),
    ],
)
def test_an_object_lives_by_its_age_size_and_tags(
    held: Held, regions: tuple[str, ...], tier: str, copies: int, steps: tuple[Step, ...]
) -> None:
    found = storage.place(STORAGE, held, regions)
    assert (found.tier, found.copies, found.steps) == (tier, copies, steps)
    assert bool(found.degraded) is (tier == "hot" and copies < 3)


def test_an_object_above_the_limit_is_refused() -> None:
    with pytest.raises(Refused, match="max_object_size_gb 50"):
        storage.place(STORAGE, Held(50.001), REGIONS)


@settings(deadline=None)
@given(held=st.builds(Held, st.floats(0, 50), st.floats(0, 1000), cold_pins=st.integers(0, 4)))
def test_a_hot_copy_never_goes_before_the_archive_is_confirmed(held: Held) -> None:
    if Step.DROP_HOT in storage.place(STORAGE, held, REGIONS).steps:
        assert held.cold_pins >= STORAGE.tiers.cold.replication
        assert held.age_days >= STORAGE.tiers.hot.retention_days


def test_a_policy_that_archives_after_it_forgets_is_refused() -> None:
    with pytest.raises(Invalid, match="before they are kept"):
        changed("distributed/storage_policy.yaml", storage_policy__tiers__cold__archive_after_days=91)


def test_a_request_is_passed_on_three_times_and_not_a_fourth() -> None:
    assert [storage.may_redirect(STORAGE, hops) for hops in (0, 2, 3)] == [True, True, False]


def test_on_one_node_everything_holds_in_part_and_says_so() -> None:
    found = memory.effective(MEMORY, 1, 2)
    assert (found.shards, found.replicas, found.cache_masters, found.cache_replicas) == (16, 1, 1, 0)
    assert found.degraded == (
        "1 of 2 replicas of a shard",
        "1 of 6 nodes of the cache",
        "2 of 8 GB of cache on a node",
    )


def test_on_six_nodes_nothing_is_degraded() -> None:
    found = memory.effective(MEMORY, 6, 8)
    assert (found.replicas, found.cache_masters, found.cache_replicas, found.degraded) == (2, 3, 3, ())


@settings(deadline=None)
@given(nodes=st.integers(0, 50), gb=st.floats(0.1, 64))
def test_what_is_effective_is_never_more_than_there_is(nodes: int, gb: float) -> None:
    found = memory.effective(MEMORY, nodes, gb)
    assert found.replicas <= nodes
    assert found.cache_masters + found.cache_replicas == min(6, nodes)
    assert found.cache_memory_gb <= gb
    assert bool(found.degraded) is (nodes < 6 or gb < 8)


def test_sessions_and_counters_are_never_evicted_and_live_apart() -> None:
    assert {name: memory.eviction(MEMORY, name) for name in MEMORY.cache.keyspaces} == {
        "sessions": "noeviction",
        "rate_limits": "noeviction",
        "hot_responses": "allkeys-lru",
        "prompts": "allkeys-lru",
    }
    found = memory.instances(MEMORY, 2)
    assert found.keys() == {"sessions, rate_limits", "hot_responses, prompts"}
    assert "maxmemory 1024mb\nmaxmemory-policy noeviction\n" in found["sessions, rate_limits"]
    assert "maxmemory-policy allkeys-lru\n" in found["hot_responses, prompts"]
    with pytest.raises(NotFound, match="locks"):
        memory.eviction(MEMORY, "locks")


def test_prompt_caches_are_asked_in_order_and_never_for_a_vote() -> None:
    assert memory.lookups(MEMORY, voting=False) == ("vcache", "prompt-cache")
    assert memory.lookups(MEMORY, voting=True) == ()


STAMPS = st.builds(Stamp, st.integers(0, 3), st.integers(0, 2), st.sampled_from("abc"))


@settings(deadline=None)
@given(one=STAMPS, other=STAMPS, third=STAMPS)
def test_nodes_agree_on_the_last_write_in_whatever_order_they_hear_of_it(
    one: Stamp, other: Stamp, third: Stamp
) -> None:
    assert memory.winner(one, other) == memory.winner(other, one)
    assert memory.winner(memory.winner(one, other), third) == memory.winner(one, memory.winner(other, third))


def test_a_later_write_wins_over_an_earlier_one() -> None:
    assert memory.winner(Stamp(2, 0, "a"), Stamp(1, 9, "z")).node == "a"
    assert memory.winner(Stamp(1, 0, "a"), Stamp(1, 1, "a")).counter == 1


def test_a_request_within_its_quota_is_granted_with_its_cost() -> None:
    found = resources.answer(RESOURCES, Asked("agent", "compute", {"cpu_cores": 4, "memory_gb": 16}, 1800), {})
    assert (found.granted, found.seconds, found.cost) == (True, 1800, 2.8)


def test_what_is_held_counts_and_the_refusal_has_the_numbers() -> None:
    found = resources.answer(RESOURCES, Asked("agent", "compute", {"cpu_cores": 4}), {"cpu_cores": 5})
    assert not found.granted
    assert found.reasons == ("cpu_cores: 4 asked and 5 held is above the 8 of agent",)
    assert found.seconds == 3600


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (Asked("agent", "storage", {"cpu_cores": 1}), "above the 0 of agent"),
        (Asked("agent", "compute", {"cpu_cores": 1}, 86401), "86401 s"),
        (Asked("agent", "compute", {"cpu_cores": 1}, 0), "0 s"),
    ],
)
def test_what_the_policy_does_not_list_is_not_given(asked: Asked, why: str) -> None:
    found = resources.answer(RESOURCES, asked, {})
    assert not found.granted
    assert why in found.reasons[0]


def test_an_owner_without_a_quota_is_refused() -> None:
    with pytest.raises(NotFound, match="agent, service, operator"):
        resources.answer(RESOURCES, Asked("stranger", "compute", {}), {})


NODES = (
    Node("dear", cost_per_hour=9.0, latency_ms=1.0, tokens_per_second=10.0, bandwidth_mbps=10_000),
    Node("cheap", cost_per_hour=1.0, latency_ms=50.0, tokens_per_second=150.0, bandwidth_mbps=100),
    Node("silent"),
)


@pytest.mark.parametrize(
    ("preference", "kind", "order"),
    [
        ("nearest", "compute", ["dear", "cheap", "silent"]),
        ("cheapest", "compute", ["cheap", "dear", "silent"]),
        ("fastest", "storage", ["dear", "cheap", "silent"]),
        ("fastest", "inference", ["cheap", "dear", "silent"]),
        ("any", "memory", ["cheap", "dear", "silent"]),
    ],
)
def test_nodes_are_ranked_by_what_is_preferred_and_who_says_nothing_comes_last(
    preference: Literal["nearest", "cheapest", "fastest", "any"], kind: ResourceType, order: list[str]
) -> None:
    assert [one.id for one in resources.ranked(RESOURCES, preference, kind, NODES)] == order
    assert [one.id for one in resources.ranked(RESOURCES, preference, kind, NODES[::-1])] == order


@pytest.mark.parametrize(
    ("silent", "presence"),
    [
        (0, Presence.ONLINE),
        (90, Presence.ONLINE),
        (90.1, Presence.OFFLINE),
        (1199, Presence.OFFLINE),
        (1200, Presence.EXPIRED),
    ],
)
def test_a_silent_node_is_offline_after_three_heartbeats_and_forgotten_after_twenty_minutes(
    silent: float, presence: Presence
) -> None:
    assert resources.presence(RESOURCES, silent) is presence


def test_a_policy_without_one_of_the_four_preferences_is_refused() -> None:
    with pytest.raises(Invalid, match="nothing of any"):
        changed("distributed/resource_policy.yaml", resource_policy__locality={
            name: {} for name in ("nearest", "cheapest", "fastest")
        })  # fmt: skip
