# May this release enter this environment now? (Spec §2: dev, qa, staging, prod; none is skipped.)
package ripple.promotion

import rego.v1

default decision := {
	"allow": false,
	"reasons": ["the request is incomplete: it needs environment, release, gates, held and previous_environment_stable"],
}

decision := {"allow": count(refusals) == 0, "reasons": sort(refusals)} if {
	is_string(input.environment)
	is_string(input.release)
	is_object(input.gates)
	is_boolean(input.held)
	is_boolean(input.previous_environment_stable)
}

order := ["dev", "qa", "staging", "prod"]

required := {"build", "integration", "security", "policy", "evals"}

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

refusals contains "the release is held after a failed canary; an operator can let it go again" if input.held

refusals contains sprintf("%s does not run this release yet; environments are not skipped", [previous]) if {
	not input.previous_environment_stable
	some position, name in order
	name == input.environment
	position > 0
	previous := order[position - 1]
}

refusals contains sprintf("%s needs a person's approval and has none", [input.environment]) if {
	object.get(input, ["approval", "required"], true) != false
	not approved
}

approved if {
	by := input.approval.by
	is_string(by)
	by != ""
}
