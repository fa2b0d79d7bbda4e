"""Looking at the whole stack, and repairing one system of it. Loaded when asked: starting goes without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio.to_thread

from ripple.changes.steps.rooms import Rooms
from ripple.delivery.proof import Bench, prove
from ripple.delivery.stackstate import Stackstate, compare_all, instance_of
from ripple.delivery.stackview import StackSeen, one, whole
from ripple.model.errors import Invalid
from ripple.model.paths import Home
from ripple.stack.load import load_manifest
from ripple.stack.root import project_root
from ripple.supervisor.install.own import mend_own, own_package
from ripple.supervisor.smoke import Smoker


def state_of(home: Home) -> Stackstate:
    """This checkout as the instance in ``home`` has it."""
    return Stackstate(project_root(), home)


async def whole_stack(home: Home, applications: Mapping[str, Any]) -> dict[str, Any]:
    """The page of the map."""
    return whole(await _seen(state_of(home), applications))


async def one_system(
    home: Home, applications: Mapping[str, Any], name: str, repairing: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The page of one system; NotFound names the nearest one."""
    state = state_of(home)
    row = state.map.get(name)
    return one(await _seen(state, applications), row, repairing, state.signer(name))


async def repair_system(rooms: Rooms, name: str, verb: str) -> None:
    """Install, fix, remove or prove a system."""
    state = state_of(rooms.home)
    row = state.map.get(name)
    match verb:
        case "install":
            await state.installer.install(row.system)
        case "fix":
            await mend_own(row.system, state.root)
            if own_package(row.system) is None or state.installer.installed(row.system) is not None:
                await state.installer.fix(row.system)
        case "remove":
            await state.installer.remove(name)
        case "verify":
            bench = Bench(state.root, state.map, state.lock, state.installer, Smoker(rooms.sandbox), rooms.key)
            await prove(bench, row)
        case _:
            raise Invalid(f"a worker cannot {verb} a system")


async def _seen(state: Stackstate, applications: Mapping[str, Any]) -> StackSeen:
    instance = await instance_of(state)
    facts = load_manifest(state.manifests / "stack.yaml")
    return StackSeen(
        map=state.map,
        roles=facts["roles"],
        profile=state.profile,
        lock=state.lock,
        proven=await anyio.to_thread.run_sync(state.proven),
        installed=await anyio.to_thread.run_sync(state.installed),
        own=await anyio.to_thread.run_sync(state.own),
        drift=await compare_all(state, lambda: applications),
        running={component.id: component for component in instance.components} if instance else {},
    )
