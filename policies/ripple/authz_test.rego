package ripple.authz_test

import data.ripple.authz
import rego.v1

operator := {"kind": "operator", "id": "local", "roles": ["operator"]}

agent := {"kind": "agent", "id": "uhCAk1", "roles": ["agent"]}

worker := {"kind": "service", "id": "worker", "roles": ["service"]}

ask(principal, action) := {"principal": principal, "action": action, "resource": "change/1", "data": {}}

verdict(given) := found if found := authz.decision with input as given

test_operator_may_everything_a_person_does if {
	every action in [
		"change.submit", "change.read", "change.approve", "change.cancel", "change.roll_back", "application.add",
		"application.read", "component.restart", "audit.read", "session.link", "release.unhold", "voters.read",
		"provider.add", "provider.remove", "provider.test", "models.add", "system.read",
	] {
		verdict(ask(operator, action)).allow
	}
}

test_agent_may_submit_and_read if {
	every action in ["change.submit", "change.read", "application.read"] {
		verdict(ask(agent, action)).allow
	}
}

test_agent_may_not_act_as_an_operator if {
	every action in ["change.approve", "provider.add", "release.unhold", "component.restart", "audit.read"] {
		not verdict(ask(agent, action)).allow
	}
}

test_agent_with_a_claimed_operator_role_gains_nothing if {
	claimed := object.union(agent, {"roles": ["operator"]})
	not verdict(ask(claimed, "change.submit")).allow
}

test_unknown_action_is_refused_for_everyone if {
	every principal in [operator, agent, worker] {
		not verdict(ask(principal, "disk.format")).allow
	}
}

test_a_prefix_without_its_dot_is_not_covered if not verdict(ask(operator, "changeling.submit")).allow

test_service_may_not_approve if not verdict(ask(worker, "change.approve")).allow

test_refusal_names_who_and_what if {
	some reason in verdict(ask(agent, "provider.add")).reasons
	contains(reason, "agent uhCAk1 may not provider.add")
}

test_an_empty_request_is_refused_with_a_reason if {
	found := verdict({})
	not found.allow
	count(found.reasons) == 1
}

test_every_part_of_a_request_is_needed if {
	every key in ["principal", "action", "resource"] {
		not verdict(object.remove(ask(operator, "change.submit"), [key])).allow
	}
}
