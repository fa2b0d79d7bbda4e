# May this principal do this action on this resource?
# Roles and what they allow are data: data.ripple.roles, by action (change.submit) or by family (change). An action
# that nobody was given is refused.
package ripple.authz

import rego.v1

default decision := {
	"allow": false,
	"reasons": ["the request is incomplete: it needs a principal (kind, id, roles), an action and a resource"],
}

# The short way first, without helper rules: it is asked before every action, and takes a third of the long way.
decision := {"allow": true, "reasons": []} if {
	some name in input.principal.roles
	role := data.ripple.roles[name]
	input.principal.kind in role.kinds
	input.action in role.actions
	not input.action in data.ripple.person_only
	input.principal.id
	input.resource
} else := {"allow": count(refusals) == 0, "reasons": sort(refusals)} if {
	complete
}

complete if {
	input.principal.id
	input.principal.kind
	input.principal.roles
	input.action
	input.resource
}

refusals contains sprintf("%s %s may not %s on %s: its roles (%s) do not allow that", [
	input.principal.kind,
	input.principal.id,
	input.action,
	input.resource,
	concat(", ", [sprintf("%v", [role]) | some role in input.principal.roles]),
]) if {
	not granted
}

refusals contains sprintf("%s needs a person; %s %s is none", [
	input.action,
	input.principal.kind,
	input.principal.id,
]) if {
	wants_a_person
}

wants_a_person if {
	input.action in data.ripple.person_only
	input.principal.kind != "operator"
}

# A role counts only for the kinds of principal it was made for: an agent that claims "operator" gains nothing.
# Listed actions are looked up first; taking a name apart for its family costs more than the rest of the decision.
granted if {
	some name in input.principal.roles
	role := data.ripple.roles[name]
	input.principal.kind in role.kinds
	input.action in role.actions
} else if {
	some name in input.principal.roles
	role := data.ripple.roles[name]
	input.principal.kind in role.kinds
	split(input.action, ".")[0] in role.families
}
