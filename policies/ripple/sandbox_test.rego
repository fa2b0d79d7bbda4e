package ripple.sandbox_test

import data.ripple.sandbox
import rego.v1

good := {"rung_wanted": "bubblewrap", "rungs_available": ["bubblewrap"], "network": false}

judged(given) := found if found := sandbox.decision with input as given

verdict(change) := judged(object.union(good, change))

test_an_available_rung_runs if verdict({}).allow

test_a_missing_rung_never_falls_to_a_weaker_one if {
	found := verdict({"rung_wanted": "kata"})
	not found.allow
	contains(found.reasons[0], "bubblewrap")
}

test_no_rung_at_all_refuses if not verdict({"rungs_available": []}).allow

test_network_needs_a_granted_purpose if {
	not verdict({"network": true}).allow
	not verdict({"network": true, "purpose": "tests"}).allow
	verdict({"network": true, "purpose": "dependencies"}).allow
}

test_an_incomplete_request_is_refused if {
	every key in object.keys(good) {
		not judged(object.remove(good, [key])).allow
	}
}
