# opa://inference/merge: may the winner of a vote become a change? (Spec §10.4 reducer.policy_gate)
package inference.merge

import rego.v1

default decision := {"allow": false, "reasons": ["the request is incomplete: it needs a consensus and an inference policy"]}

decision := {"allow": count(refusals) == 0, "reasons": sort(refusals)} if {
	is_object(input.consensus)
	is_string(input.policy.name)
}

refusals contains sprintf("inference policy %s is not allowed to merge", [input.policy.name]) if {
	not input.policy.name in data.ripple.settings.allowed_inference_policies
}

refusals contains "the models did not reach a consensus" if not input.consensus.reached == true

refusals contains "the consensus names no winner" if not named_winner

refusals contains sprintf("agreement %v is below the %v that %s asks for", [
	input.consensus.score,
	min_agreement,
	input.policy.name,
]) if {
	not enough
}

refusals contains "the consensus has no score" if not is_number(input.consensus.score)

refusals contains sprintf("inference policy %s sets no min_agreement above 0", [input.policy.name]) if not min_agreement > 0

enough if input.consensus.score >= min_agreement

named_winner if {
	is_string(input.consensus.winner)
	input.consensus.winner != ""
}

min_agreement := input.policy.min_agreement if {
	is_number(input.policy.min_agreement)
} else := input.policy.reducer.min_agreement if {
	is_number(input.policy.reducer.min_agreement)
}
