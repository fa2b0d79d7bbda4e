"""The tools of the specification: its own form kept, and the schemas that are made of it."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.unit.stack.manifests.shipped import SPECIFICATION, changed, load

from ripple.model.errors import Invalid, NotFound
from ripple.stack.manifests.tools import Tool, Tools, checked_call, checked_result, idempotency_key

TOOLS = load("cloud/mcp_tools.json", Tools)
TABLE: list[dict[str, str]] = SPECIFICATION["tools"]
SCHEMAS: dict[str, dict[str, Any]] = {one["name"]: one for one in SPECIFICATION["tool_schemas"]}
HASH = "c" * 64
LINUX = "x86_64-unknown-linux-musl"
COMPILE = {"target": LINUX, "manifest_hash": HASH}
NODE = {
    "node_id": "uhCAk...",
    "agent_name": "gpu-box-01",
    "capabilities": {
        "compute": {"cpu_cores": 16, "cpu_arch": "x86_64", "ram_gb": 64},
        "storage": {"local_ssd_gb": 2000, "ipfs_pinned_gb": 500, "s3_available_gb": 10000},
        "inference": {"models_loaded": ["qwen3-4b"], "max_batch_size": 32, "tokens_per_second": 150},
        "memory": {"vector_shards": 4, "redis_memory_gb": 16},
    },
    "network": {"bandwidth_mbps": 1000, "latency_region": "us-west"},
    "availability": "online",
    "load": {"cpu_percent": 45, "gpu_percent": 70, "memory_percent": 60},
    "last_heartbeat": "2026-01-05T12:00:00Z",
}


def tool(name: str) -> Tool:
    return TOOLS.get(name)


def test_the_tools_are_the_specifications_in_its_order_and_with_its_words() -> None:
    assert [one.name for one in TOOLS.tools] == [row["Tool Name"] for row in TABLE]
    for row in TABLE:
        if row["Tool Name"] not in SCHEMAS:
            assert tool(row["Tool Name"]).description == row["Description"]
        assert row["Auth"] == tool(row["Tool Name"]).auth


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_the_specification_gives_is_kept_field_by_field(name: str) -> None:
    said, there = SCHEMAS[name], tool(name)
    assert there.origin == "specification"
    assert there.description == said["description"].replace("FlexStack", "Ripple")
    assert (there.inputs, there.outputs) == (said["inputs"], said["outputs"])


def test_a_schema_it_does_not_give_is_marked_as_ours() -> None:
    ours = {one.name for one in TOOLS.tools if one.origin == "ripple"}
    assert ours == {row["Tool Name"] for row in TABLE} - SCHEMAS.keys()
    assert len(ours) == 17


@pytest.mark.parametrize("one", TOOLS.tools, ids=lambda one: one.name)
def test_what_is_served_are_valid_schemas_and_the_form_they_were_made_of(one: Tool) -> None:
    listed = one.listed()
    Draft202012Validator.check_schema(listed["inputSchema"])
    Draft202012Validator.check_schema(listed["outputSchema"])
    assert (listed["_meta"]["ripple/inputs"], listed["_meta"]["ripple/outputs"]) == (one.inputs, one.outputs)
    demanded = {
        key for key, value in one.inputs.items() if isinstance(value, dict) and value.get("required") is True
    }
    assert set(listed["inputSchema"]["required"]) == demanded
    assert all(
        "required" not in value for value in listed["inputSchema"]["properties"].values() if "items" in value
    )


def test_the_list_of_keys_an_object_needs_is_no_flag_and_stays() -> None:
    gpu = tool("holochain.register_node").input_schema()["properties"]["capabilities"]
    assert gpu["properties"]["compute"]["required"] == ["cpu_cores", "cpu_arch", "ram_gb"]


@pytest.mark.parametrize("one", TOOLS.tools, ids=lambda one: one.name)
def test_a_tool_is_found_by_its_name_with_underscores(one: Tool) -> None:
    assert "." not in one.alias
    assert TOOLS.get(one.alias) is one


def test_a_tool_that_is_not_there_is_told_with_its_family() -> None:
    with pytest.raises(NotFound, match=r"wsl\.status"):
        TOOLS.get("wsl.reboot")


def test_a_call_gets_its_defaults() -> None:
    assert checked_call(tool("buildkit.compile_binary"), COMPILE) == {
        **COMPILE, "embed_rootfs": False, "sign": True, "features": [], "phase": "all",
    }  # fmt: skip
    assert (
        checked_call(tool("wsl_install_distro"), {"binary_url": "C:/ripple.exe"})["holochain_network"] == "testnet"
    )


@pytest.mark.parametrize(
    ("name", "arguments", "why"),
    [
        ("buildkit.compile_binary", {"target": LINUX}, "manifest_hash"),
        ("buildkit.compile_binary", {**COMPILE, "target": "sparc"}, "sparc"),
        ("buildkit.compile_binary", {**COMPILE, "sign": "yes"}, "sign"),
        ("buildkit.compile_binary", {**COMPILE, "sing": True}, "did you mean 'sign'"),
        ("buildkit.compile_binary", {**COMPILE, "phase": "P9"}, "P9"),
        ("buildkit.compile_binary", {**COMPILE, "embed_rootfs": True}, "only the Windows binary"),
        ("buildkit.build_rootfs", {"manifest_hash": HASH, "option": "B"}, "option B drifts"),
        ("wsl.install_distro", {"binary_url": "https://example.org/ripple.exe"}, "checked by its digest"),
        ("resources.allocate", {"resource_type": "compute"}, "requirements"),
        ("resources.allocate", {"resource_type": "compute", "requirements": {"cpu_cores": "4"}}, "cpu_cores"),
        ("inference.moe_query", {"prompt": "hi", "task_type": "poetry"}, "poetry"),
        ("holochain.install_dna", {"dna": "agent_registry", "expected_hash": "uhCkk..."}, "expected_hash"),
        ("resources.schedule_task", {"workload_class": "build", "command": []}, "command"),
        ("holochain.register_node", {**NODE, "load": 5}, "load"),
    ],
)
def test_a_call_that_does_not_fit_is_refused_and_told_why(name: str, arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(Invalid, match=why):
        checked_call(tool(name), arguments)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("buildkit.compile_binary", {**COMPILE, "target": "x86_64-pc-windows-msvc", "embed_rootfs": True}),
        ("buildkit.cloud_build", {}),
        ("wsl.install_distro", {"binary_url": "https://example.org/ripple.exe", "binary_sha256": HASH}),
        ("holochain.join_mesh", {"network": "local", "agent_name": "n", "capabilities": {}}),
        ("holochain.register_node", NODE),
    ],
)
def test_a_call_that_fits_goes_through(name: str, arguments: dict[str, Any]) -> None:
    assert checked_call(tool(name), arguments).items() >= arguments.items()


@pytest.mark.parametrize("field", list(NODE))
def test_a_capability_without_one_of_its_fields_is_refused(field: str) -> None:
    with pytest.raises(Invalid, match=field):
        checked_call(tool("holochain.register_node"), {key: value for key, value in NODE.items() if key != field})


def test_the_two_builds_answer_the_same_fields_and_none_of_ours_is_needed() -> None:
    compiled, built = tool("buildkit.compile_binary"), tool("buildkit.cloud_build")
    assert compiled.output_schema()["properties"].keys() == built.output_schema()["properties"].keys()
    assert compiled.input_schema()["properties"].keys() == built.input_schema()["properties"].keys()
    assert all(not one.output_schema()["required"] for one in TOOLS.tools)
    for one in TOOLS.tools:
        assert not set(one.extra_inputs) & set(one.input_schema()["required"])


def test_an_answer_that_does_not_fit_is_refused() -> None:
    moe = tool("inference.moe_query")
    assert checked_result(moe, {"response": "yes", "model_votes": [{"model": "a", "weight": 1.0}]})
    with pytest.raises(Invalid, match=r"model_votes\.0\.weight"):
        checked_result(moe, {"model_votes": [{"model": "a", "weight": "much"}]})


def test_the_same_call_has_the_same_key_however_its_defaults_are_written() -> None:
    build = tool("buildkit.compile_binary")
    key = idempotency_key(build, COMPILE)
    assert key == idempotency_key(build, {"sign": True, **dict(reversed(COMPILE.items()))})
    assert key != idempotency_key(build, {**COMPILE, "sign": False})
    assert idempotency_key(tool("inference.single_query"), {"prompt": "hi", "model": "m"}) is None


def test_what_the_specification_calls_idempotent_is_the_whole_build_group() -> None:
    stated = {one.name for one in TOOLS.tools if one.idempotent == "stated"}
    assert stated == {row["Tool Name"] for row in TABLE if row.get("Idempotent") == "Yes"}
    extended = {one.name for one in TOOLS.tools if one.idempotent == "extended"}
    assert {"wsl.install_distro", "holochain.join_mesh", "inference.load_model", "resources.release"} <= extended


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"tools__1__name": "buildkit.compile_binary"}, "stands twice"),
        ({"tools__0__extra_inputs": {"more": {"type": "string", "required": True}}}, "cannot be required"),
        ({"tools__0__extra_inputs": {"sign": {"type": "string"}}}, "given and extra at once"),
        ({"tools__0__inputs__sign": {"type": "bool"}}, "known types"),
        ({"tools__0__inputs__sign": {"type": "boolean", "requierd": True}}, "known keywords"),
        ({"tools__0__outputs__binary_url": "text"}, "known types"),
    ],
)
def test_a_list_of_tools_that_contradicts_itself_is_refused(values: dict[str, Any], why: str) -> None:
    with pytest.raises(Invalid, match=why):
        changed("cloud/mcp_tools.json", **values)
