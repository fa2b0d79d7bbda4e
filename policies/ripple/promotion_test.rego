package ripple.promotion_test

import data.ripple.promotion
import rego.v1

release := "sha256:aa"

passed := {"verdict": "pass", "subject": release}

gates := {"build": passed, "integration": passed, "security": passed, "policy": passed, "evals": passed}

good := {
	"environment": "staging",
	"release": release,
	"gates": gates,
	"held": false,
	"previous_environment_stable": true,
	"approval": {"required": false, "by": ""},
	"origin": {"kind": "change"},
	"tree": "t1",
	"consensus": {"reached": true, "score": 0.8, "tree": "t1"},
	"policy": {"name": "ripple-moe", "min_agreement": 0.6},
}

# What the short way would let in, asked in a way that it does not take: nothing needs to run before dev.
long := {"environment": "dev", "previous_environment_stable": false}

adoption := object.union(object.remove(good, ["consensus", "policy", "gates"]), {
	"origin": {"kind": "adoption", "state": "adopting"},
	"gates": {"build": passed, "integration": passed},
})

without(key) := object.remove(good, [key])

says(given, reason) if {
	every change in [{}, long] {
		found := judged(object.union(given, change))
		not found.allow
		found.reasons == [reason]
	}
}

judged(given) := found if found := promotion.decision with input as given

verdict(change) := judged(object.union(good, change))

test_all_gates_let_it_in if {
	every environment in ["dev", "qa", "staging", "prod"] {
		verdict({"environment": environment}).allow
	}
}

test_each_gate_is_needed if {
	every gate in object.keys(gates) {
		not judged(object.union(object.remove(good, ["gates"]), {"gates": object.remove(gates, [gate])})).allow
		every said in ["fail", "inconclusive", "", null] {
			not verdict({"gates": {gate: {"verdict": said}}}).allow
		}
	}
}

test_evidence_about_another_release_is_none if {
	every gate in object.keys(gates) {
		not verdict({"gates": {gate: {"subject": "sha256:bb"}}}).allow
	}
}

test_evidence_without_a_subject_is_none if {
	given := object.union(object.remove(good, ["gates"]), {"gates": object.union(object.remove(gates, ["build"]), {"build": {"verdict": "pass"}})})
	not judged(given).allow
}

test_both_ways_let_it_in if {
	verdict({}) == {"allow": true, "reasons": []}
	verdict(long) == {"allow": true, "reasons": []}
}

test_a_change_without_a_consensus_record_stays_out if {
	missing := "the change has no consensus record: no models voted for it"
	says(without("consensus"), missing)
	every record in [null, "reached", true, []] {
		says(object.union(without("consensus"), {"consensus": record}), missing)
	}
}

test_a_record_without_a_consensus_keeps_it_out if {
	every reached in [false, null, "true", 1] {
		says(object.union(good, {"consensus": {"reached": reached}}), "the models did not reach a consensus on the change")
	}
}

test_a_consensus_about_another_tree_keeps_it_out if {
	says(object.union(good, {"consensus": {"tree": "t2"}}), "the consensus is about another tree (t2) than the release's (t1)")
	says(object.union(good, {"tree": "t2"}), "the consensus is about another tree (t1) than the release's (t2)")
	every nothing in [null, "", 1, ["t1"]] {
		not verdict({"tree": nothing, "consensus": {"tree": nothing}}).allow
		not verdict(object.union(long, {"tree": nothing, "consensus": {"tree": nothing}})).allow
	}
}

test_too_little_agreement_keeps_it_out if {
	says(object.union(good, {"consensus": {"score": 0.5}}), "agreement 0.5 is below the 0.6 that ripple-moe asks for")
	every score in [null, "1", [1], true] {
		says(object.union(good, {"consensus": {"score": score}}), "the consensus has no score")
	}
	verdict({"consensus": {"score": 0.6}}).allow
}

test_agreement_is_measured_by_a_policy_that_is_known if {
	unknown := "the change's inference policy is not known, or sets no min_agreement above 0"
	says(without("policy"), unknown)
	every minimum in [0, -1, null, "0.6"] {
		says(object.union(good, {"policy": {"min_agreement": minimum}}), unknown)
	}
}

test_where_a_release_comes_from_has_to_be_said if {
	not judged(without("origin")).allow
	every kind in [null, "", "rollback", 1] {
		not verdict({"origin": {"kind": kind}}).allow
	}
}

test_an_adoption_needs_no_vote_but_its_own_checks if {
	every environment in ["dev", "qa", "staging", "prod"] {
		judged(object.union(adoption, {"environment": environment})).allow
	}
	says(object.union(adoption, {"gates": {"build": {"verdict": "fail"}}}), "gate build says fail")
	every gate in ["build", "integration"] {
		given := object.union(object.remove(adoption, ["gates"]), {"gates": object.remove(adoption.gates, [gate])})
		says(given, concat(" ", ["gate", gate, "left no evidence"]))
	}
}

test_what_is_not_being_adopted_is_no_adoption if {
	every state in ["ready", "failed", "", null] {
		not judged(object.union(adoption, {"origin": {"state": state}})).allow
	}
	says(
		object.union(adoption, {"origin": {"state": "ready"}}),
		"the application is ready, so it is not being adopted; what changes it needs a consensus",
	)
	not judged(object.union(object.remove(adoption, ["origin"]), {"origin": {"kind": "adoption"}})).allow
}

test_an_adoption_skips_and_unholds_nothing if {
	not judged(object.union(adoption, {"held": true})).allow
	not judged(object.union(adoption, {"previous_environment_stable": false})).allow
	not judged(object.union(adoption, {"environment": "moon"})).allow
}

test_a_held_release_stays_out_for_the_reason_it_was_held_for if {
	says(
		object.union(good, {"held": true, "held_reason": "taken back by the operator (change c)"}),
		"the release is held: taken back by the operator (change c); an operator can let it go again",
	)
	says(object.union(good, {"held": true}), "the release is held: no reason is stored; an operator can let it go again")
}

test_an_environment_is_never_skipped if {
	every environment in ["qa", "staging", "prod"] {
		not verdict({"environment": environment, "previous_environment_stable": false}).allow
	}
}

test_dev_has_nothing_before_it if verdict({"environment": "dev", "previous_environment_stable": false}).allow

test_an_unknown_environment_is_refused if not verdict({"environment": "moon"}).allow

test_approval_is_needed_where_asked_for if {
	not verdict({"approval": {"required": true, "by": ""}}).allow
	not verdict({"approval": {"required": true, "by": null}}).allow
	verdict({"approval": {"required": true, "by": "operator:local"}}).allow
}

test_silence_about_approval_means_it_is_needed if {
	not judged(object.remove(good, ["approval"])).allow
	not verdict({"approval": {"required": "no"}}).allow
}

test_an_incomplete_request_is_refused if {
	every key in ["environment", "release", "origin", "tree", "gates", "held", "previous_environment_stable"] {
		not judged(object.remove(good, [key])).allow
	}
}
