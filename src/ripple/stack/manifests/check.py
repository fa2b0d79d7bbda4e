"""The manifests that are no rows, as documents and as findings of ``stack check``.

- SHAPE a file is not there, does not parse or contradicts itself · TRUTH a pointer of ``stack.yaml`` leads nowhere
- AGREE two files say different things: a role, a system, a hash or a time that another file has otherwise
- CI a step of the pipeline that nothing pins
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from ripple.model.errors import RippleError
from ripple.stack.manifests.builder import Builder
from ripple.stack.manifests.compute import ComputeFile
from ripple.stack.manifests.conductor import Conductor
from ripple.stack.manifests.destinations import Destinations
from ripple.stack.manifests.dnas import FOLDER, INDEX, NAMES, index_text, load_dnas
from ripple.stack.manifests.pipeline import Pipeline, faults
from ripple.stack.manifests.registry import FILES, load_file, schemas
from ripple.stack.manifests.resources import ResourceFile
from ripple.stack.manifests.truth import StackFile, broken_pointers
from ripple.stack.manifests.versions import BINARIES, Versions, binaries_text
from ripple.stack.manifests.versions import faults as version_faults
from ripple.stack.rules import Finding

T = TypeVar("T", bound=BaseModel)
Loaded = Mapping[str, BaseModel]


def manifest_documents(root: Path) -> dict[str, str]:
    """What is generated of these files: path below the checkout → its text."""
    texts = {**schemas(), BINARIES: binaries_text()}
    with contextlib.suppress(RippleError):  # what is wrong with a definition is a finding of its own
        texts[f"manifests/{(FOLDER / INDEX).as_posix()}"] = index_text(load_dnas(root / "manifests"))
    return texts


def manifest_findings(root: Path) -> list[Finding]:
    """Every refusal of these files; the lock is read with the rows it locks."""
    loaded: dict[str, BaseModel] = {}
    found: list[Finding] = []
    for name in FILES.keys() - {"vendor.lock.json"}:
        try:
            loaded[name] = load_file(root / "manifests", name)
        except RippleError as error:
            found.append(_finding(name, "SHAPE", str(error), "write it as its schema in manifests/schemas says"))
    if all(f"{FOLDER.as_posix()}/{name}.json" in loaded for name in NAMES):
        found += _dnas(root)
    return sorted([*found, *_pointers(root, loaded), *_pipeline(loaded), *_agree(root, loaded)])


def _dnas(root: Path) -> Iterator[Finding]:
    try:
        load_dnas(root / "manifests")
    except RippleError as error:
        yield _finding(FOLDER.as_posix(), "SHAPE", str(error), "one file for each of the five DNAs, by its name")


def _pointers(root: Path, loaded: Loaded) -> Iterator[Finding]:
    stack = _one(loaded, "stack.yaml", StackFile)
    for fault in broken_pointers(stack, lambda path: (root / path).exists()) if stack else ():
        yield _finding("stack.yaml", "TRUTH", fault, "point to where that truth is")


def _pipeline(loaded: Loaded) -> Iterator[Finding]:
    pipeline = _one(loaded, "cloud/ci_pipeline.yaml", Pipeline)
    for fault in faults(pipeline) if pipeline else ():
        yield _finding("cloud/ci_pipeline.yaml", "CI", fault, "write it as a run step of ours")


def _agree(root: Path, loaded: Loaded) -> Iterator[Finding]:
    stack = _one(loaded, "stack.yaml", StackFile)
    destinations = _one(loaded, "cloud/artifact_destinations.json", Destinations)
    if stack and destinations:
        for one in destinations.destinations:
            if one.role not in stack.roles:
                told = f"{one.id} has the role {one.role}, which stack.yaml does not list"
                yield _finding("cloud/artifact_destinations.json", "AGREE", told, "take a role of the list")
    yield from _modes(loaded)
    yield from _presence(loaded)
    versions = _one(loaded, "holochain/versions.json", Versions)
    table = root / BINARIES
    for fault in (
        version_faults(versions, table.read_text(encoding="utf-8")) if versions and table.is_file() else ()
    ):
        yield _finding(
            "holochain/versions.json", "AGREE", fault, "./ripple stack generate, and pin what is missing"
        )


def _modes(loaded: Loaded) -> Iterator[Finding]:
    compute = _one(loaded, "distributed/compute_policy.yaml", ComputeFile)
    builder = _one(loaded, "cloud/builder_image.json", Builder)
    if compute and builder:
        known = {mode.name for mode in builder.modes}
        for name, pool in compute.compute_policy.pools.items():
            if pool.build_mode is not None and pool.build_mode not in known:
                told = (
                    f"the pool {name} is the build mode {pool.build_mode}, which builder_image.json does not have"
                )
                yield _finding("distributed/compute_policy.yaml", "AGREE", told, "name a build mode")


def _presence(loaded: Loaded) -> Iterator[Finding]:
    resources = _one(loaded, "distributed/resource_policy.yaml", ResourceFile)
    conductor = _one(loaded, "holochain/conductor.yaml", Conductor)
    if resources and conductor:
        expires = resources.resource_policy.presence.expire_after_seconds
        agent = conductor.tuning_params.agent_info_expires_after_ms / 1000
        if expires != agent:
            told = (
                f"a node is forgotten after {expires:g} s here and after {agent:g} s in holochain/conductor.yaml"
            )
            yield _finding("distributed/resource_policy.yaml", "AGREE", told, "write the same time in both")


def _one(loaded: Loaded, name: str, kind: type[T]) -> T | None:
    found = loaded.get(name)
    return found if isinstance(found, kind) else None


def _finding(name: str, rule: str, message: str, fix: str) -> Finding:
    return Finding(f"manifests/{name}", 0, rule, message, fix)
