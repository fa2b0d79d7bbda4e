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

test_a_held_release_stays_out if not verdict({"held": true}).allow

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
	every key in ["environment", "release", "gates", "held", "previous_environment_stable"] {
		not judged(object.remove(good, [key])).allow
	}
}
