"""Gates: evidence about this release only, and nothing seen is never a pass."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripple.delivery import gates
from ripple.delivery.canary import Analysis, Stats
from ripple.model.gate import Evidence, GateName, Verdict
from ripple.model.governance import Decision
from ripple.model.release import Release

RELEASE = Release("shop", "c" * 40, "t" * 40, "sha256:" + "0" * 64)
OTHER = Release("shop", "c" * 40, "u" * 40, "sha256:" + "0" * 64)
YES = Decision("d1", "ripple/edits", True, (), "sha256:r")
NO = Decision("d2", "ripple/edits", False, ("path is protected",), "sha256:r")


def test_commands_that_all_passed_pass_the_gate() -> None:
    rows = [{"name": "build", "ok": True, "duration_seconds": 1.5}, {"name": "unit", "ok": True}]
    found = gates.build_gate(RELEASE, rows)
    assert (found.verdict, found.subject, found.duration_seconds) == (Verdict.PASS, RELEASE.digest, 1.5)


@pytest.mark.parametrize("ok", [False, None, "yes", 1])
def test_only_a_plain_true_is_a_success(ok: Any) -> None:
    found = gates.build_gate(RELEASE, [{"name": "unit", "ok": ok, "reason": "3 tests failed"}])
    assert found.verdict is Verdict.FAIL
    assert found.reasons == ("unit: 3 tests failed",)


def test_a_gate_that_saw_nothing_is_inconclusive() -> None:
    assert gates.build_gate(RELEASE, []).verdict is Verdict.INCONCLUSIVE
    assert gates.integration_gate(RELEASE, [], declared=True).verdict is Verdict.INCONCLUSIVE
    assert gates.security_gate(RELEASE, [], YES).verdict is Verdict.INCONCLUSIVE
    assert gates.evals_gate(RELEASE, {"declared": True, "total": 0}).verdict is Verdict.INCONCLUSIVE


def test_checks_that_are_not_declared_pass_and_say_so() -> None:
    integration = gates.integration_gate(RELEASE, [], declared=False)
    evals = gates.evals_gate(RELEASE, {"declared": False})
    assert (integration.verdict, evals.verdict) == (Verdict.PASS, Verdict.PASS)
    assert "declares no" in integration.reasons[0]
    assert "declares no" in evals.reasons[0]


def test_policy_has_the_last_word_on_scans_and_edits() -> None:
    scans = [{"scanner": "bandit", "state": "clean", "findings": []}]
    assert gates.security_gate(RELEASE, scans, YES).verdict is Verdict.PASS
    assert gates.security_gate(RELEASE, scans, NO).reasons == NO.reasons
    assert gates.policy_gate(RELEASE, {"paths": []}, YES).verdict is Verdict.PASS
    silent = Decision("d3", "ripple/edits", False, (), "sha256:r")
    assert gates.policy_gate(RELEASE, {}, silent).verdict is Verdict.FAIL
    assert gates.policy_gate(RELEASE, {}, silent).reasons


def test_failed_evals_fail() -> None:
    assert gates.evals_gate(RELEASE, {"declared": True, "total": 3, "failed": 1}).verdict is Verdict.FAIL
    assert gates.evals_gate(RELEASE, {"declared": True, "total": 3, "failed": 0}).verdict is Verdict.PASS
    broken = {"declared": True, "total": 0, "failed": 0, "reasons": ["promptfooconfig.yaml is not valid"]}
    assert gates.evals_gate(RELEASE, broken).verdict is Verdict.FAIL


def test_the_canarys_evidence_carries_its_numbers_and_environment() -> None:
    analysis = Analysis(Verdict.FAIL, ("5 of 9 failed",), Stats(9, 5, 5 / 9, 0.01, 0.02), None, 4.0)
    found = gates.canary_gate(RELEASE, "staging", analysis)
    assert (found.environment, found.verdict, found.reasons) == ("staging", Verdict.FAIL, ("5 of 9 failed",))
    assert found.data["canary"]["errors"] == 5


def _input(evidence: list[Any]) -> dict[str, Any]:
    situation = gates.Situation(None, True, {"required": False, "by": ""})
    return gates.promotion_input(RELEASE, "dev", evidence, situation, gates.from_change(None, None))


def test_policy_is_told_why_a_release_is_held() -> None:
    situation = gates.Situation("it was slow", True, {})
    found = gates.promotion_input(RELEASE, "dev", [], situation, gates.from_adoption("adopting"))
    assert (found["held"], found["held_reason"]) == (True, "it was slow")
    assert (_input([])["held"], _input([])["held_reason"]) == (False, "")


def test_policy_is_told_of_the_vote_by_the_tree_it_was_about() -> None:
    consensus = {"reached": True, "score": 0.75, "details": {"tree": "t" * 40}, "clusters": []}
    said = gates.from_change(consensus, {"name": "ripple-moe", "min_agreement": 0.6})
    assert said["consensus"] == {"reached": True, "score": 0.75, "tree": "t" * 40}
    assert _input([])["tree"] == RELEASE.tree
    assert gates.from_change({}, None)["consensus"] == {"reached": None, "score": None, "tree": None}
    assert _input([])["consensus"] is None, "a vote that is not there is told as none"
    assert "consensus" not in gates.from_adoption("adopting")


def test_stale_and_missing_evidence_is_not_there() -> None:
    fresh = gates.build_gate(RELEASE, [{"ok": True}])
    stale = gates.policy_gate(OTHER, {}, YES)
    assert set(_input([fresh, stale])["gates"]) == {"build"}


def test_the_last_statement_of_a_gate_counts() -> None:
    passed, failed = gates.policy_gate(RELEASE, {}, YES), gates.policy_gate(RELEASE, {}, NO)
    assert _input([passed, failed])["gates"]["policy"]["verdict"] == "fail"
    assert _input([failed, passed])["gates"]["policy"]["verdict"] == "pass"


def test_rows_of_the_evidence_table_are_read_like_evidence() -> None:
    row: dict[str, Any] = {
        "gate": "build",
        "subject": RELEASE.digest,
        "verdict": "pass",
        "environment": None,
        "envelope": {},
    }
    assert _input([row])["gates"] == {"build": {"verdict": "pass", "subject": RELEASE.digest}}


@given(
    st.lists(
        st.builds(
            Evidence,
            gate=st.sampled_from(GateName),
            subject=st.sampled_from([RELEASE.digest, OTHER.digest]),
            verdict=st.sampled_from(Verdict),
            reasons=st.just(()),
        )
    )
)
def test_what_policy_is_asked_only_ever_speaks_of_this_release(evidence: list[Evidence]) -> None:
    found = _input(list(evidence))
    assert all(gate["subject"] == RELEASE.digest for gate in found["gates"].values())
    assert "canary" not in found["gates"]
    for name, gate in found["gates"].items():
        mine = [one for one in evidence if one.gate == name and one.subject == RELEASE.digest]
        assert gate["verdict"] == mine[-1].verdict
