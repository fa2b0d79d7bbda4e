# May this release enter this environment now? (Spec §2: dev, qa, staging, prod; none is skipped.)
# A change enters on all its gates and on the consensus its models reached about this very tree. Adopting an application
# is no change: nobody voted, and only its own checks were run. It says so itself, and holds only while it is adopted.
package ripple.promotion

import rego.v1

default decision := {
	"allow": false,
	"reasons": ["the request is incomplete: it needs environment, release, origin, gates, held and previous_environment_stable"],
}

# The short way first, for what is plainly in order; it is never wider than the long way, which alone says no.
decision := {"allow": true, "reasons": []} if {
	input.environment in ["dev", "qa", "staging", "prod"]
	is_string(input.release)
	input.release != ""
	every gate in tree_gates {
		input.gates[gate].verdict == "pass"
		input.gates[gate].subject == input.release
	}
	input.held == false
	input.previous_environment_stable == true
	consented
	input.origin.kind == "change"
	is_string(input.tree)
	input.tree != ""
	input.consensus.reached == true
	input.consensus.tree == input.tree
	is_number(input.consensus.score)
	is_string(input.policy.name)
	is_number(input.policy.min_agreement)
	input.policy.min_agreement > 0
	input.consensus.score >= input.policy.min_agreement
} else := {"allow": count(refusals) == 0, "reasons": sort(refusals)} if {
	is_string(input.environment)
	is_string(input.release)
	is_string(input.origin.kind)
	is_object(input.gates)
	is_boolean(input.held)
	is_boolean(input.previous_environment_stable)
}

order := ["dev", "qa", "staging", "prod"]

tree_gates := {"build", "integration", "security", "policy", "evals"}

required := {"build", "integration"} if {
	input.origin.kind == "adoption"
} else := tree_gates

refusals contains sprintf("%s is no environment; %s are", [input.environment, concat(", ", order)]) if {
	not input.environment in order
}

refusals contains "the request names no release" if input.release == ""

refusals contains sprintf("gate %s left no evidence", [gate]) if {
	some gate in required
	not input.gates[gate]
}

refusals contains sprintf("gate %s says %v", [gate, object.get(input.gates[gate], "verdict", "nothing")]) if {
	some gate in required
	input.gates[gate]
	object.get(input.gates[gate], "verdict", "") != "pass"
}

refusals contains sprintf("gate %s judged another release (%v)", [gate, object.get(input.gates[gate], "subject", "none")]) if {
	some gate in required
	input.gates[gate]
	object.get(input.gates[gate], "subject", "") != input.release
}

refusals contains sprintf("the release is held: %v; an operator can let it go again", [
	object.get(input, "held_reason", "no reason is stored"),
]) if {
	input.held
}

refusals contains sprintf("%s does not run this release yet; environments are not skipped", [previous]) if {
	not input.previous_environment_stable
	some position, name in order
	name == input.environment
	position > 0
	previous := order[position - 1]
}

refusals contains sprintf("%s needs a person's approval and has none", [input.environment]) if {
	not consented
}

refusals contains sprintf("a release of kind %s is not let in; a change and an adoption are", [input.origin.kind]) if {
	not input.origin.kind in {"change", "adoption"}
}

refusals contains sprintf("the application is %v, so it is not being adopted; what changes it needs a consensus", [
	object.get(input, ["origin", "state"], "in no state"),
]) if {
	input.origin.kind == "adoption"
	object.get(input, ["origin", "state"], "") != "adopting"
}

refusals contains missing if {
	input.origin.kind == "change"
	some missing in unsettled
}

unsettled contains "the change has no consensus record: no models voted for it" if not recorded

unsettled contains "the models did not reach a consensus on the change" if {
	recorded
	not input.consensus.reached == true
}

unsettled contains sprintf("the consensus is about another tree (%v) than the release's (%v)", [
	object.get(input, ["consensus", "tree"], "none"),
	object.get(input, ["tree"], "none"),
]) if {
	recorded
	not same_tree
}

unsettled contains "the consensus has no score" if {
	recorded
	not is_number(input.consensus.score)
}

unsettled contains sprintf("agreement %v is below the %v that %v asks for", [
	input.consensus.score,
	input.policy.min_agreement,
	input.policy.name,
]) if {
	recorded
	asked
	is_number(input.consensus.score)
	input.consensus.score < input.policy.min_agreement
}

unsettled contains "the change's inference policy is not known, or sets no min_agreement above 0" if not asked

recorded if is_object(input.consensus)

same_tree if {
	is_string(input.tree)
	input.tree != ""
	input.consensus.tree == input.tree
}

asked if {
	is_string(input.policy.name)
	is_number(input.policy.min_agreement)
	input.policy.min_agreement > 0
}

consented if {
	input.approval.required == false
} else if {
	by := input.approval.by
	is_string(by)
	by != ""
}
