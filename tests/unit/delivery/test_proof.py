"""A system is proven by use and by signed evidence that still holds; anything else is never ``works``."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.unit.delivery.proofs import (
    LAYER,
    a_system,
    bench,
    envelope_of,
    placed,
    proved,
    put,
    signed_again,
    smoke,
    statement_of,
)

from ripple.delivery.evidence import read_all, read_evidence, schema_text, status_documents, write_evidence
from ripple.delivery.proof import Bench, prove
from ripple.governance.keys import NodeKey
from ripple.model.errors import Invalid, NotFound, Unavailable
from ripple.model.system import (
    Layer,
    LockedFile,
    LockedRoute,
    Outcome,
    RouteKind,
    System,
    VendorLock,
    Verdict,
    this_platform,
)
from ripple.stack.proven import (
    BEGIN,
    END,
    Answer,
    Proof,
    Proven,
    evidence_name,
    plain_reason,
    readme_with,
    row_digest,
    rows_of,
    status_page,
)
from ripple.stack.root import project_root
from ripple.stack.systems import StackMap, load_map
from ripple.stack.vendorlock import load_lock
from ripple.supervisor.install import NotObtainable
from ripple.supervisor.install.commands import Command, run_tool
from ripple.supervisor.install.pypi import PypiWay
from ripple.surfaces.cli.verify import exit_status

IMAGE = {"kind": "oci", "package": "example.org/thing", "version": "1"}


def locked(digit: str = "a", signer: str = "somebody") -> VendorLock:
    """A lock of the thing whose one file has a digest of this digit."""
    file = LockedFile(url="pkg:pypi/thing@1", sha256=digit * 64, size=1)
    route = LockedRoute(route=RouteKind.PYPI, version="1", signer=signer, files=(file,))
    return VendorLock(systems={"thing": {this_platform(): (route,)}})


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, System]:
    """A system that was proven to work; its evidence is put back by whoever changes it."""
    system = a_system()
    given = bench(tmp_path_factory.mktemp("proof"), system, lock=locked())
    assert proved(given, system).outcome is Outcome.WORKS
    return given, system


def read(given: Bench, system: System, lock: VendorLock | None = None) -> Proven:
    return read_evidence(given.root, placed(system), lock or given.lock)


def test_a_system_that_does_its_work_works_and_its_evidence_says_how(works: tuple[Bench, System]) -> None:
    given, system = works
    found = read(given, system)
    assert (found.verdict.outcome, found.verdict.layer) == (Outcome.WORKS, "1.7")
    assert found.proof is not None
    assert found.proof.platform == this_platform()
    assert [(one.kind, one.exit, one.tail) for one in found.proof.steps] == [("shell", 0, "done")]


def test_a_step_that_does_not_hold_is_a_failure_and_is_written_down(tmp_path: Path) -> None:
    system = a_system(smoke=smoke("echo almost; exit 4"))
    given = bench(tmp_path, system)
    verdict = proved(given, system)
    assert verdict.outcome is Outcome.FAILED
    assert "step 1 (shell) exited with status 4, not 0: almost" in verdict.reason
    assert read(given, system).verdict == verdict


def test_what_could_not_be_exercised_only_installs(tmp_path: Path) -> None:
    system = a_system(smoke=smoke(not_exercised="it needs a cluster"))
    verdict = proved(bench(tmp_path, system), system)
    assert (verdict.outcome, verdict.reason) == (Outcome.INSTALLS, "it needs a cluster")


def test_an_external_system_is_never_run_and_names_what_covers_it(tmp_path: Path) -> None:
    external = {"why": "It is a hosted service.", "covered_by": "nothing yet"}
    verdict = proved(bench(tmp_path), a_system(smoke=None, external=external))
    assert verdict.outcome is Outcome.EXTERNAL
    assert verdict.reason == "It is a hosted service. Covered by: nothing yet."


def test_a_system_no_route_leads_to_is_not_obtainable_with_the_error_of_each(tmp_path: Path) -> None:
    system = a_system(kind="server", routes=[IMAGE])
    lock = VendorLock(systems={"thing": {this_platform(): ()}})
    verdict = proved(bench(tmp_path, system, lock=lock), system)
    assert verdict.outcome is Outcome.NOT_OBTAINABLE
    assert "oci example.org/thing 1: " in verdict.reason
    assert "container engine" in verdict.reason


def test_a_program_without_any_route_is_not_proven_by_ripples_own_environment(tmp_path: Path) -> None:
    verdict = proved(bench(tmp_path), a_system(kind="server"))
    assert (verdict.outcome, verdict.reason) == (Outcome.NOT_OBTAINABLE, "its row names no route to it")


def test_a_system_whose_need_cannot_be_had_is_not_obtainable(tmp_path: Path) -> None:
    need = a_system(id="need", kind="server", routes=[IMAGE])
    system = a_system(smoke=smoke(needs=["need"]))
    lock = VendorLock(systems={"need": {this_platform(): ()}})
    verdict = proved(bench(tmp_path, system, need, lock=lock), system)
    assert verdict.outcome is Outcome.NOT_OBTAINABLE
    assert "need is not obtainable here" in verdict.reason


def test_a_system_that_is_not_locked_is_an_error_and_leaves_no_evidence(tmp_path: Path) -> None:
    system = a_system(kind="server", routes=[IMAGE])
    given = bench(tmp_path, system)
    with pytest.raises(NotFound, match=r"\./ripple lock update thing"):
        proved(given, system)
    assert not given.root.exists()


def test_the_page_says_who_made_the_package_that_was_tried() -> None:
    route = {"kind": "pypi", "package": "thing", "version": "1", "origin": "a third party"}
    system = a_system(kind="server", routes=[route])
    verdict = Verdict(id="thing", layer="1.7", outcome=Outcome.WORKS, version="1")
    given = {
        "date": "2026-01-01",
        "platform": "p",
        "ripple": "0",
        "row": "r",
        "lock": "l",
        "purpose": "keeps things",
    }
    proof = Proof(verdict=verdict, route="pypi", **given)
    assert "keeps things — package: a third party" in status_page([Proven(placed(system), verdict, proof)])
    bare = Proof(verdict=verdict, route="debian", **given)
    assert "package:" not in status_page([Proven(placed(system), verdict, bare)])


def test_what_is_proven_stays_when_it_cannot_be_had_now(tmp_path: Path) -> None:
    system = a_system(kind="server", routes=[IMAGE])
    given = bench(tmp_path, system, lock=VendorLock(systems={"thing": {this_platform(): ()}}))
    proved(given, system)
    statement = statement_of(envelope_of(given))
    statement["predicate"]["verdict"]["outcome"] = "works"
    put(given, signed_again(given, given.key, statement))
    with pytest.raises(Unavailable, match=r"container engine.*; its evidence of .* stays"):
        proved(given, system)
    assert read(given, system).verdict.outcome is Outcome.WORKS


@pytest.mark.parametrize("part", ["bring", "lock"], ids=["a locked route", "a route that is not locked"])
def test_an_installation_that_was_interrupted_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    async def stopped(*_: object) -> None:
        await run_tool(Command(("/bin/sh", "-c", "kill -9 $$"), tmp_path))

    monkeypatch.setattr(PypiWay, part, stopped)
    system = a_system(kind="server", routes=[{"kind": "pypi", "package": "thing", "version": "1"}])
    nothing = VendorLock(systems={"thing": {this_platform(): ()}})
    given = bench(tmp_path, system, lock=locked() if part == "bring" else nothing)
    with pytest.raises(NotObtainable, match="was ended by signal 9"):
        proved(given, system)
    assert not given.root.exists()


def test_two_tries_of_one_system_at_once_both_end_well_and_leave_whole_evidence(tmp_path: Path) -> None:
    system = a_system(smoke=smoke("sleep 0.5; echo done"))
    given = bench(tmp_path, system)

    async def both() -> tuple[Verdict, Verdict]:
        return await asyncio.gather(prove(given, placed(system)), prove(given, placed(system)))

    assert [one.outcome for one in asyncio.run(both())] == [Outcome.WORKS, Outcome.WORKS]
    assert read(given, system).verdict.outcome is Outcome.WORKS


def test_evidence_of_another_row_is_stale(works: tuple[Bench, System]) -> None:
    given, _ = works
    for other in (
        a_system(smoke=smoke("echo done # in another way")),
        a_system(smoke=smoke(not_exercised="it needs a cluster")),
        a_system(routes=[{"kind": "pypi", "package": "thing", "version": "2"}]),
        a_system(smoke=None, external={"why": "It is hosted now.", "covered_by": "nothing yet"}),
    ):
        found = read(given, other)
        assert (found.verdict.outcome, found.proof) == (Outcome.UNPROVEN, None)
        assert "is stale, the row has changed; ./ripple verify thing" in found.verdict.reason


def test_evidence_of_another_lock_is_stale(works: tuple[Bench, System]) -> None:
    given, system = works
    for lock in (locked("b"), VendorLock()):
        found = read(given, system, lock)
        assert found.verdict.outcome is Outcome.UNPROVEN
        assert "is stale, the lock has changed" in found.verdict.reason


def test_the_words_of_a_row_may_change_without_another_proof(works: tuple[Bench, System]) -> None:
    given, _ = works
    reworded = a_system(summary="said in another way", licence="MIT", status="off", reason="nobody needs it")
    assert read(given, reworded, locked(signer="somebody else")).verdict.outcome is Outcome.WORKS


def test_the_run_that_served_a_proof_is_part_of_it_and_one_that_did_not_is_not() -> None:
    run = {"id": "thing", "command": ["{bin}/thing"]}
    other = {"id": "thing", "command": ["{bin}/thing", "--fast"]}
    served = [a_system(run=one, smoke=smoke(serve=True)) for one in (run, other)]
    beside = [a_system(run=one) for one in (run, other)]
    assert row_digest(served[0]) != row_digest(served[1])
    assert row_digest(beside[0]) == row_digest(beside[1])


def changed_after_it_was_signed(given: Bench, envelope: dict[str, Any]) -> object:
    """The payload says more than was signed."""
    payload = base64.b64decode(envelope["payload"]).replace(b'"does its work"', b'"does all of it"')
    return envelope | {"payload": base64.b64encode(payload).decode()}


def without_signature(given: Bench, envelope: dict[str, Any]) -> object:
    return envelope | {"signatures": []}


def signed_twice(given: Bench, envelope: dict[str, Any]) -> object:
    return envelope | {"signatures": envelope["signatures"] * 2}


def by_a_key_nobody_knows(given: Bench, envelope: dict[str, Any]) -> object:
    return signed_again(given, NodeKey.load_or_create(given.root / "foreign"), statement_of(envelope))


def by_a_foreign_key_under_the_name_of_a_known_one(given: Bench, envelope: dict[str, Any]) -> object:
    foreign = signed_again(given, NodeKey.load_or_create(given.root / "foreign"), statement_of(envelope))
    (signature,) = foreign["signatures"]
    return foreign | {"signatures": [signature | {"keyid": given.key.key_id}]}


def with_a_key_outside_the_folder(given: Bench, envelope: dict[str, Any]) -> object:
    (signature,) = envelope["signatures"]
    return envelope | {"signatures": [signature | {"keyid": f"../keys/{given.key.key_id}"}]}


def about_another_system(given: Bench, envelope: dict[str, Any]) -> object:
    statement = statement_of(envelope)
    statement["subject"][0]["name"] = "other"
    return signed_again(given, given.key, statement)


def of_another_kind(given: Bench, envelope: dict[str, Any]) -> object:
    return signed_again(
        given, given.key, statement_of(envelope) | {"predicateType": "urn:ripple:predicate:gate:v1"}
    )


def about_other_bytes_than_it_says(given: Bench, envelope: dict[str, Any]) -> object:
    statement = statement_of(envelope)
    statement["subject"][0]["digest"]["sha256"] = "b" * 64
    return signed_again(given, given.key, statement)


def with_an_outcome_nobody_knows(given: Bench, envelope: dict[str, Any]) -> object:
    statement = statement_of(envelope)
    statement["predicate"]["verdict"]["outcome"] = "splendid"
    return signed_again(given, given.key, statement)


def no_envelope_at_all(given: Bench, envelope: dict[str, Any]) -> object:
    return ["works"]


@pytest.mark.parametrize(
    "forge",
    [
        changed_after_it_was_signed,
        without_signature,
        signed_twice,
        by_a_key_nobody_knows,
        by_a_foreign_key_under_the_name_of_a_known_one,
        with_a_key_outside_the_folder,
        about_another_system,
        of_another_kind,
        about_other_bytes_than_it_says,
        with_an_outcome_nobody_knows,
        no_envelope_at_all,
    ],
)
def test_evidence_that_is_not_whole_proves_nothing(
    works: tuple[Bench, System], forge: Callable[[Bench, dict[str, Any]], object]
) -> None:
    given, system = works
    envelope = envelope_of(given)
    try:
        put(given, forge(given, envelope))
        found = read(given, system)
    finally:
        put(given, envelope)
    assert (found.verdict.outcome, found.proof) == (Outcome.UNPROVEN, None)
    assert "its evidence does not hold" in found.verdict.reason
    assert read(given, system).verdict.outcome is Outcome.WORKS


def test_evidence_whose_key_was_taken_out_of_the_repository_proves_nothing(tmp_path: Path) -> None:
    system = a_system()
    given = bench(tmp_path, system)
    proved(given, system)
    (given.root / "evidence" / "keys" / f"{given.key.key_id}.pem").unlink()
    found = read(given, system)
    assert found.verdict.outcome is Outcome.UNPROVEN
    assert "nobody vouches for it" in found.verdict.reason


def test_without_evidence_or_with_half_of_it_a_system_is_unproven(works: tuple[Bench, System]) -> None:
    given, system = works
    assert "there is no evidence" in read(given, a_system(id="other")).verdict.reason
    path = given.root / evidence_name("thing")
    whole = path.read_text()
    try:
        path.write_text(whole[: len(whole) // 2])
        assert read(given, system).verdict.outcome is Outcome.UNPROVEN
    finally:
        path.write_text(whole)


def test_what_is_kept_tells_nothing_of_the_machine(tmp_path: Path) -> None:
    system = a_system(smoke=smoke(f"echo {tmp_path}/checkout/x /work/scratch; pwd; exit 1"))
    given = bench(tmp_path, system)
    assert proved(given, system).reason.endswith("./x scratch scratch")
    assert str(tmp_path) not in json.dumps(statement_of(envelope_of(given)))


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("GET https://some.registry.example/simple/x failed", "GET https://HOST/simple/x failed"),
        ("GET http://127.0.0.1:9/x failed", "GET http://127.0.0.1:9/x failed"),
        ("dial tcp: lookup proxy.example.org: no such host", "dial tcp: lookup HOST: no such host"),
        ("/home/me/prefix/trees/x/home/me is missing", "PREFIX/trees/x/home/me is missing"),
        ("/home/men/x and /home/me/y", "/home/men/x and ~/y"),
        ("sh: /var/tmp/ripple-smoke-a1_b/home/step1.sh: no", "sh: home/step1.sh: no"),
        ("github.com/nats-io/nats.go has no version", "github.com/nats-io/nats.go has no version"),
    ],
)
def test_a_reason_names_no_host_and_no_folder_of_the_machine(said: str, kept: str) -> None:
    assert plain_reason(said, {"/home/me": "~", "/home/me/prefix": "PREFIX"}) == kept


def test_a_long_reason_keeps_its_beginning_and_its_end() -> None:
    kept = plain_reason("first " + "x" * 5000 + " last", {})
    assert kept.startswith("first ")
    assert kept.endswith(" last")
    assert len(kept) < 1000


def a_proven(outcome: Outcome, name: str, layer: Layer = LAYER, reason: str = "") -> Proven:
    """A system as its evidence would show it."""
    system = a_system(id=name, name=name)
    verdict = {
        "id": name,
        "layer": layer.id,
        "outcome": outcome,
        "reason": reason,
        "seconds": 1.25,
        "version": "2",
    }
    facts = {"date": "2026-01-02T03:04:05+00:00", "platform": "linux-x86_64", "ripple": "0", "row": "", "lock": ""}
    return Proven(placed(system, layer), Proof.model_validate({"verdict": verdict, **facts}).verdict, None)


def test_the_status_counts_each_outcome_of_each_layer() -> None:
    data = Layer(id="1.8", name="Data", purpose="what is kept")
    found = [
        a_proven(Outcome.WORKS, "a"),
        a_proven(Outcome.WORKS, "b"),
        a_proven(Outcome.FAILED, "c", reason="a | b <b> [x](y)"),
        a_proven(Outcome.UNPROVEN, "d", data),
    ]
    text = readme_with(f"before\n{BEGIN}\nold\n{END}\nafter", found)
    assert text.startswith(f"before\n{BEGIN}")
    assert text.endswith(f"{END}\nafter")
    assert "old" not in text
    assert "| 1.7 Edge | 2 | 1 |  |" in text
    assert "| 1.8 Data |  |  | 1 |" in text
    assert "| **all** | **2** | **1** | **1** |" in text
    assert readme_with(text, found) == text
    assert r"| c | failed | 2 | 1.2 |  | a \| b &lt;b> [x] (y) |" in status_page(found)


def test_a_readme_without_a_place_for_the_status_is_refused() -> None:
    with pytest.raises(Invalid, match="has no lines"):
        readme_with("nothing here", [])


@pytest.mark.parametrize(
    ("outcomes", "run", "read_back"),
    [
        ([Outcome.WORKS, Outcome.INSTALLS, Outcome.EXTERNAL, Outcome.NOT_OBTAINABLE], 0, 0),
        ([Outcome.WORKS, Outcome.UNPROVEN], 1, 2),
        ([Outcome.UNPROVEN, Outcome.FAILED], 1, 1),
        ([], 0, 0),
    ],
)
def test_the_exit_status_is_well_only_when_nothing_failed(
    outcomes: list[Outcome], run: int, read_back: int
) -> None:
    verdicts = [a_proven(one, "x").verdict for one in outcomes]
    assert (exit_status(verdicts, from_evidence=False), exit_status(verdicts, from_evidence=True)) == (
        run,
        read_back,
    )


def test_systems_are_chosen_by_name_or_layer_in_the_order_of_the_map() -> None:
    data = Layer(id="1.8", name="Data", purpose="what is kept")
    rows = [placed(a_system(id="a")), placed(a_system(id="b")), placed(a_system(id="c"), data)]
    found = StackMap(tuple(rows))
    assert rows_of(found, [], "") == rows
    assert rows_of(found, ["c", "a", "a"], "") == [rows[0], rows[2]]
    assert rows_of(found, [], "1.8") == [rows[2]]
    with pytest.raises(NotFound, match="no system 'nope'"):
        rows_of(found, ["nope"], "")
    with pytest.raises(Invalid, match=r"no layer '1\.9'.*1\.7, 1\.8"):
        rows_of(found, [], "1.9")


def test_two_keys_may_vouch_beside_each_other(tmp_path: Path, works: tuple[Bench, System]) -> None:
    given, system = works
    before = envelope_of(given)
    proof = read(given, system).proof
    assert proof is not None
    try:
        write_evidence(given.root, NodeKey.load_or_create(tmp_path), system, proof)
        assert read(given, system).verdict.outcome is Outcome.WORKS
    finally:
        put(given, before)
    assert read(given, system).verdict.outcome is Outcome.WORKS


def test_the_answer_has_the_published_form(works: tuple[Bench, System]) -> None:
    given, system = works
    schema = json.loads(schema_text())
    answer = Answer(systems=(read(given, system).verdict,)).model_dump(mode="json")
    jsonschema.validate(answer, schema)
    del answer["systems"][0]["reason"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(answer, schema)


def test_the_documents_of_this_checkout_are_made_of_its_evidence() -> None:
    root = project_root()
    made = status_documents(root, load_map(root / "manifests"), load_lock(root / "manifests"))
    stale = [name for name, text in made.items() if (root / name).read_text() != text]
    assert stale == [], "run ./ripple stack generate"


def test_every_piece_of_evidence_of_this_checkout_is_signed_and_of_a_system_of_the_map() -> None:
    root = project_root()
    rows = load_map(root / "manifests").rows
    found = read_all(root, rows, load_lock(root / "manifests"))
    assert [one.verdict.reason for one in found if "does not hold" in one.verdict.reason] == []
    files = {path.stem for path in (root / "evidence" / "systems").glob("*.json")}
    assert files - {row.system.id for row in rows} == set()
    assert len(files) > 0
