package inference.merge_test

import data.inference.merge
import rego.v1

settled(given, settings) := found if {
	found := merge.decision with input as given with data.ripple.settings as settings
}

judged(given) := found if found := merge.decision with input as given

good := {
	"consensus": {"reached": true, "score": 0.8, "winner": "sha256:aa"},
	"policy": {"name": "ripple-moe", "min_agreement": 0.6},
	"kind": "code",
}

verdict(change) := found if found := merge.decision with input as object.union(good, change)

test_a_clear_consensus_merges if verdict({}).allow

test_exactly_the_minimum_merges if verdict({"consensus": {"score": 0.6}}).allow

test_just_below_the_minimum_does_not_merge if not verdict({"consensus": {"score": 0.5999999999999999}}).allow

test_no_consensus_does_not_merge if not verdict({"consensus": {"reached": false}}).allow

test_no_winner_does_not_merge if not verdict({"consensus": {"winner": null}}).allow

test_no_score_does_not_merge if not verdict({"consensus": {"score": null}}).allow

test_text_as_score_does_not_merge if not verdict({"consensus": {"score": "0.9"}}).allow

test_reached_as_text_does_not_merge if not verdict({"consensus": {"reached": "true"}}).allow

test_an_unknown_policy_does_not_merge if not verdict({"policy": {"name": "mine"}}).allow

test_a_policy_without_minimum_does_not_merge if {
	given := object.union(object.remove(good, ["policy"]), {"policy": {"name": "ripple-moe"}})
	not judged(given).allow
}

test_a_minimum_of_zero_does_not_merge if not verdict({"policy": {"min_agreement": 0}}).allow

test_the_minimum_may_stand_under_reducer if {
	given := object.union(object.remove(good, ["policy"]), {"policy": {"name": "ripple-moe", "reducer": {"min_agreement": 0.6}}})
	judged(given).allow
}

test_embedded_and_offline_merge_only_when_named if {
	every name in ["ripple-moe-offline", "ripple-moe-embedded"] {
		given := object.union(good, {"policy": {"name": name}})
		judged(given).allow
		not settled(given, {"allowed_inference_policies": ["ripple-moe"]}).allow
	}
}

test_an_empty_request_does_not_merge if {
	found := merge.decision with input as {}
	not found.allow
	count(found.reasons) == 1
}
