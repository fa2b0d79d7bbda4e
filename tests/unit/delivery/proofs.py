"""What the tests of the proof share: a checkout of its own, one system in it, and the real sandbox."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

from ripple.delivery.proof import Bench, prove
from ripple.governance.evidence import sign_statement
from ripple.governance.keys import NodeKey
from ripple.model.system import Layer, System, VendorLock, Verdict
from ripple.planes.sandbox import Sandbox
from ripple.planes.sandbox.bubblewrap import BubblewrapSandbox
from ripple.stack.proven import evidence_name
from ripple.stack.systems import Placed, StackMap
from ripple.supervisor.install import Installer
from ripple.supervisor.smoke import Smoker

SMOKER = Smoker(Sandbox(BubblewrapSandbox()))
LAYER = Layer(id="1.7", name="Edge", purpose="the front door")
ANSWERS = {"owner": "nobody", "adoption": "first", "failure_modes": ["none"], "rollback": "none"}


def a_system(**given: Any) -> System:
    """A specification that Ripple's own environment proves, unless it says something else."""
    row: dict[str, Any] = {
        "id": "thing",
        "name": "Thing",
        "kind": "spec",
        "role": "edge",
        "status": "optional",
        "summary": "a thing to be proven",
        "answers": ANSWERS,
        "smoke": smoke(),
    }
    return System.model_validate(row | given)


def smoke(script: str = "echo done", **given: Any) -> dict[str, Any]:
    """A smoke test of one step that has to print ``done``."""
    return {
        "purpose": "does its work",
        "timeout_seconds": 20,
        "steps": [{"shell": script, "expect": "^done$"}],
        **given,
    }


def placed(system: System, layer: Layer = LAYER) -> Placed:
    """The system in a layer of the map."""
    return Placed(system, layer, Path("manifests/components/07-edge.yaml"))


def bench(folder: Path, *systems: System, lock: VendorLock | None = None) -> Bench:
    """A checkout in ``folder`` with these systems."""
    found = lock or VendorLock()
    return Bench(
        folder / "checkout",
        StackMap(tuple(placed(one) for one in systems)),
        found,
        Installer(folder / "prefix", found),
        SMOKER,
        NodeKey.load_or_create(folder / "keys"),
    )


def proved(given: Bench, system: System) -> Verdict:
    """What came of trying the system."""
    return asyncio.run(asyncio.wait_for(prove(given, placed(system)), 60))


def envelope_of(given: Bench, name: str = "thing") -> dict[str, Any]:
    """The evidence of a system as it lies there."""
    found: dict[str, Any] = json.loads((given.root / evidence_name(name)).read_text())
    return found


def statement_of(envelope: dict[str, Any]) -> dict[str, Any]:
    """What an envelope says."""
    found: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
    return found


def put(given: Bench, envelope: object, name: str = "thing") -> None:
    """Lay something where the evidence of a system belongs."""
    (given.root / evidence_name(name)).write_text(json.dumps(envelope))


def signed_again(given: Bench, key: NodeKey, statement: dict[str, Any]) -> dict[str, Any]:
    """The statement in a fresh envelope by ``key``."""
    (subject,) = statement["subject"]
    digest = f"sha256:{subject['digest']['sha256']}"
    return sign_statement(key, subject["name"], digest, statement["predicateType"], statement["predicate"])
