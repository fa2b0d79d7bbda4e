"""What P1 and P6 ask of images and promotions, on real tables and real records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from tests.unit.changes.room import Room, inside
from tests.unit.stack.checkouts import generate, make, row

from ripple.changes.phases import actions
from ripple.changes.phases.runs import Runs
from ripple.changes.steps.gating import keep_evidence
from ripple.model.errors import Refused
from ripple.model.gate import Evidence, GateName, Verdict
from ripple.stack.oci import BASE, COLUMNS, FOLDER, SMOKE

RELEASE, OTHER = f"sha256:{'ab' * 32}", f"sha256:{'cd' * 32}"
DIGEST = f"sha256:{'0' * 64}"
HEAD = ",".join(COLUMNS) + "\n"


async def gates_say_yes(room: Room, change: str, release: str = RELEASE, canary: str = "prod") -> None:
    """The evidence of all six gates, signed as the flow signs it."""
    row = await room.journal.change(change)
    for gate in GateName:
        where = canary if gate is GateName.CANARY else None
        said = Evidence(gate, release, Verdict.PASS, ("it holds",), environment=where)
        await keep_evidence(room.rooms, row, said)


async def recorded(room: Room) -> Mapping[str, Any]:
    at = actions.Workshop(room.rooms, Runs(room.rooms.objects, room.rooms.key), Path("/nowhere"))
    return await actions.promotion_recorded(at)


def test_a_change_that_went_to_prod_through_every_gate_is_found(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.application()
        await room.change(release=RELEASE, state="promoted")
        await gates_say_yes(room, "chg-1")
        await room.change("chg-2", release=OTHER, state="promoted")
        found = await recorded(room)
        assert (found["change"], found["release"]) == ("chg-1", RELEASE), "the newer one has no evidence"
        assert found["gates"] == sorted(gate.value for gate in GateName)

    inside(tmp_path, scenario)


@pytest.mark.parametrize("state", ["running", "rolled_back", "rejected", "cancelled"])
def test_a_change_that_is_not_in_prod_is_no_promotion_whatever_its_gates_said(tmp_path: Path, state: str) -> None:
    async def scenario(room: Room) -> None:
        await room.application()
        await room.change(release=RELEASE, state=state)
        await gates_say_yes(room, "chg-1")
        with pytest.raises(Refused, match=r"no change has gone to prod and stayed there; \./ripple change submit"):
            await recorded(room)

    inside(tmp_path, scenario)


@pytest.mark.parametrize(
    ("said", "lacking"),
    [
        ({"canary": "staging"}, "has none of canary;"),
        ({"release": OTHER}, "has none of build, canary, evals, integration, policy, security;"),
    ],
)
def test_evidence_of_another_release_or_of_no_canary_in_prod_is_none(
    tmp_path: Path, said: dict[str, str], lacking: str
) -> None:
    async def scenario(room: Room) -> None:
        await room.application()
        await room.change(release=RELEASE, state="promoted")
        await gates_say_yes(room, "chg-1", **said)
        with pytest.raises(Refused, match=f"none of 1 promoted changes .* the newest, chg-1, {lacking}"):
            await recorded(room)

    inside(tmp_path, scenario)


def test_evidence_that_another_node_signed_is_none(tmp_path: Path) -> None:
    async def signed(room: Room) -> None:
        await room.application()
        await room.change(release=RELEASE, state="promoted")
        await gates_say_yes(room, "chg-1")

    async def asked(room: Room) -> None:
        with pytest.raises(Refused, match="chg-1, has none of build"):
            await recorded(room)

    inside(tmp_path, signed)
    (tmp_path / "home" / "keys").rename(tmp_path / "another's keys")
    inside(tmp_path, asked)


def a_checkout(folder: Path) -> Path:
    """One system that runs and whose image nobody has pinned."""
    routes = [{"kind": "pypi", "package": "bus-bin", "version": "1.0"}, {"kind": "oci", "package": "library/bus"}]
    run = {"id": "bus", "command": ["{bin}/bus"]}
    (folder / FOLDER).mkdir()
    (folder / FOLDER / SMOKE).write_text(HEAD + "busybox,library/busybox,1.37.0,,\n")
    return make(folder, [row("bus", "events", provides=["bus"], run=run, routes=routes)])


def frozen(root: Path) -> Mapping[str, Any]:
    at = actions.Workshop(cast("Any", None), cast("Any", None), root)
    return anyio.run(actions.images_freeze, at)


def test_an_image_is_deployed_by_the_digest_an_operator_wrote_into_the_table_and_never_without(
    tmp_path: Path,
) -> None:
    root = a_checkout(tmp_path)
    compose, base = root / "deploy" / "compose.yaml", root / FOLDER / BASE
    found = {"frozen": 0, "not_pinned_and_not_deployed": ["library/bus", "library/busybox:1.37.0"]}
    assert frozen(root) == found, "what nobody has pinned is told, and not deployed"
    unpinned = base.read_text()
    base.write_text(unpinned.replace("bus,library/bus,,,", f"bus,library/bus,,{DIGEST},"))
    generate(root)
    assert f"image: library/bus@{DIGEST}" in compose.read_text().replace('"', "")
    assert DIGEST in base.read_text(), "what an operator pinned stays pinned"
    assert frozen(root) == {"frozen": 1, "not_pinned_and_not_deployed": ["library/busybox:1.37.0"]}
    base.write_text(unpinned)
    with pytest.raises(Refused, match=rf"deploys 1 images .* bus \(library/bus@{DIGEST}\); write the digest"):
        frozen(root)
    generate(root)
    assert frozen(root) == found


def test_an_image_that_somebody_wrote_into_the_compose_file_is_refused_by_name(tmp_path: Path) -> None:
    root = a_checkout(tmp_path)
    services = "services:\n  one: {image: 'library/bus'}\n  two: {image: 'example/unknown:1'}\n"
    (root / "deploy" / "compose.yaml").write_text(services)
    with pytest.raises(Refused, match=r"deploys 2 images .* one \(library/bus\), two \(example/unknown:1\)"):
        frozen(root)
