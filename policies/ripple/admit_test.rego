package ripple.changes.admit_test

import data.ripple.changes.admit
import rego.v1

settled(given, settings) := found if {
	found := admit.decision with input as given with data.ripple.settings as settings
}

judged(given) := found if found := admit.decision with input as given

good := {
	"application": "checkout",
	"kind": "code",
	"policy": "ripple-moe",
	"dirty": false,
	"principal": "operator:local",
}

verdict(change) := found if found := admit.decision with input as object.union(good, change)

settings(names) := {"allowed_inference_policies": names}

test_a_clean_request_enters if verdict({}).allow

test_config_is_a_kind if verdict({"kind": "config"}).allow

test_other_kinds_do_not_enter if not verdict({"kind": "deployment"}).allow

test_a_dirty_working_copy_does_not_enter if not verdict({"dirty": true}).allow

test_an_unknown_policy_does_not_enter if not verdict({"policy": "anything-goes"}).allow

test_offline_enters_only_when_named if {
	given := object.union(good, {"policy": "ripple-moe-offline"})
	judged(given).allow
	not settled(given, settings(["ripple-moe"])).allow
}

test_nobody_does_not_enter if not verdict({"principal": ""}).allow

test_an_incomplete_request_does_not_enter if {
	every key in object.keys(good) {
		found := admit.decision with input as object.remove(good, [key])
		not found.allow
		count(found.reasons) > 0
	}
}

test_a_strange_application_name_does_not_enter if not verdict({"application": "../etc"}).allow
