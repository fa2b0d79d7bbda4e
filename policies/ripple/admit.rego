# May a change enter the flow at all?
package ripple.changes.admit

import rego.v1

default decision := {"allow": false, "reasons": ["the request is incomplete: it needs application, kind, policy, dirty and principal"]}

decision := {"allow": count(refusals) == 0, "reasons": sort(refusals)} if {
	is_string(input.application)
	is_string(input.kind)
	is_string(input.policy)
	is_boolean(input.dirty)
	input.principal
}

refusals contains sprintf("%q is no application name", [input.application]) if {
	not regex.match(`^[a-z0-9][a-z0-9-]{0,40}$`, input.application)
}

refusals contains sprintf("changes of kind %s are not taken; code and config are", [input.kind]) if {
	not input.kind in {"code", "config"}
}

refusals contains sprintf("inference policy %s is not allowed; data.ripple.settings.allowed_inference_policies names %s", [
	input.policy,
	concat(", ", allowed_policies),
]) if {
	not input.policy in allowed_policies
}

# A default, so that missing settings refuse instead of leaving the refusal undefined.
default allowed_policies := []

allowed_policies := data.ripple.settings.allowed_inference_policies

refusals contains "the application's working copy has uncommitted files; commit or remove them first" if input.dirty

refusals contains "nobody asks for this change" if input.principal == ""
