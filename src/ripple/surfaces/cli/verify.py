"""``./ripple verify``: install systems, use them for what they are for, and keep signed evidence of it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import anyio
import typer
from rich.status import Status

from ripple.model.errors import Invalid, RippleError
from ripple.model.paths import Home
from ripple.model.system import Outcome, Verdict, this_platform
from ripple.stack.root import project_root
from ripple.surfaces.cli.output import Json, people, progress, show_json, table

if TYPE_CHECKING:
    from pathlib import Path

    from ripple.delivery.proof import Bench
    from ripple.model.system import VendorLock
    from ripple.stack.systems import Placed, StackMap

FAILED, UNPROVEN = 1, 2


def verify(
    ids: Annotated[list[str] | None, typer.Argument(help="Systems of the map.")] = None,
    *,
    layer: Annotated[str, typer.Option(help="All systems of a layer, such as 1.9.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Every system; goes on where it stopped.")] = False,
    from_evidence: Annotated[
        bool, typer.Option("--from-evidence", help="Run nothing, read the last results; 2 if one is not proven.")
    ] = False,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Go on after a failure.")] = False,
    again: Annotated[bool, typer.Option("--again", help="With --all: also what is proven already.")] = False,
    json: Json = False,
) -> None:
    """Prove systems by a real use of each; exit status 1 when one failed."""
    from ripple.delivery.evidence import read_all
    from ripple.stack.proven import rows_of
    from ripple.stack.systems import load_map
    from ripple.stack.vendorlock import load_lock

    if not (ids or layer or everything or from_evidence):
        raise Invalid("nothing to verify; name systems, or give --layer or --all")
    root = project_root()
    rows, lock = load_map(root / "manifests"), load_lock(root / "manifests")
    chosen = rows_of(rows, ids or (), layer)
    if from_evidence:
        verdicts = [one.verdict for one in read_all(root, chosen, lock)]
    else:
        verdicts = anyio.run(
            prove_each, _bench(root, rows, lock), chosen, everything or keep_going, everything and not again
        )
    _show(verdicts, as_json=json)
    raise typer.Exit(exit_status(verdicts, from_evidence=from_evidence))


async def prove_each(bench: Bench, chosen: Sequence[Placed], go_on: bool, resume: bool) -> list[Verdict]:
    """Prove one system after the other; those that were proven are left out with ``resume``.

    Raises:
        RippleError: a system could not be tried and ``go_on`` is false; otherwise it is ``unproven``.
    """
    from ripple.delivery.proof import prove

    verdicts: list[Verdict] = []
    for number, placed in enumerate(chosen, 1):
        done = _proven_before(bench, placed) if resume else None
        with _working(placed.system.id):
            try:
                verdict = done or await prove(bench, placed)
            except RippleError as error:
                if not go_on:
                    raise
                told = {"id": placed.system.id, "layer": placed.layer.id, "reason": str(error)}
                verdict = Verdict(outcome=Outcome.UNPROVEN, **told)
        verdicts.append(verdict)
        _say(verdict, number, len(chosen), before=done is not None)
        if exit_status([verdict], from_evidence=False) and not go_on:
            break
    return verdicts


def exit_status(verdicts: Sequence[Verdict], *, from_evidence: bool) -> int:
    """1 when a system failed or could not be tried, 2 when evidence that was read does not prove one, else 0."""
    outcomes = {one.outcome for one in verdicts}
    if Outcome.FAILED in outcomes:
        return FAILED
    if Outcome.UNPROVEN in outcomes:
        return UNPROVEN if from_evidence else FAILED
    return 0


def _bench(root: Path, rows: StackMap, lock: VendorLock) -> Bench:
    from ripple.delivery.proof import Bench
    from ripple.governance.keys import NodeKey
    from ripple.planes.sandbox import Sandbox
    from ripple.planes.sandbox.bubblewrap import BubblewrapSandbox
    from ripple.supervisor.install import Installer
    from ripple.supervisor.smoke import Smoker

    home = Home.of()
    installer = Installer(home.prefix, lock, progress=_Shown.tell)
    key = NodeKey.load_or_create(home.keys)
    return Bench(root, rows, lock, installer, Smoker(Sandbox(BubblewrapSandbox())), key)


def _proven_before(bench: Bench, placed: Placed) -> Verdict | None:
    """What was proven on this platform and still holds; what failed or could not be had is tried again."""
    from ripple.delivery.evidence import read_evidence

    found = read_evidence(bench.root, placed, bench.lock)
    holds = found.proof is not None and found.proof.platform == this_platform()
    again = found.verdict.outcome in (Outcome.FAILED, Outcome.NOT_OBTAINABLE)
    return found.verdict if holds and not again else None


class _Shown:
    """The line on a terminal that says what is done now."""

    status: Status | None = None
    proving = ""

    @classmethod
    def tell(cls, what: str, done: int, total: int | None) -> None:
        if cls.status is None:
            return
        if total is not None and done >= total:
            cls.status.update(cls.proving)
        else:
            part = f" {done * 100 // total} %" if total else f" {done >> 20} MiB" if done else ""
            cls.status.update(f"{what}{part}")


@contextlib.contextmanager
def _working(system: str) -> Iterator[None]:
    if not sys.stderr.isatty():
        yield
        return
    _Shown.proving = f"proving {system}"
    with progress.status(_Shown.proving) as _Shown.status:
        yield


def _say(verdict: Verdict, number: int, count: int, *, before: bool) -> None:
    took = "already proven" if before else f"{verdict.seconds:.1f} s"
    why = f": {verdict.reason}" if verdict.reason else ""
    text = f"{number}/{count} {verdict.id} {verdict.outcome} ({took}){why}"
    progress.print(text, markup=False, highlight=False, soft_wrap=True)


def _show(verdicts: Sequence[Verdict], *, as_json: bool) -> None:
    rows = [one.model_dump(mode="json") for one in verdicts]
    if as_json:
        show_json({"systems": rows})
        return
    names = ("layer", "id", "outcome", "version", "seconds", "reason")
    table(rows, {name: name for name in names}, "no system")
    counts = {outcome: sum(one.outcome is outcome for one in verdicts) for outcome in Outcome}
    people.print(", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count))
