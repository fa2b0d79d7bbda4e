# May this run start, on the isolation rung it asks for? A weaker rung is never taken instead.
package ripple.sandbox

import rego.v1

default decision := {"allow": false, "reasons": ["the request is incomplete: it needs rung_wanted, rungs_available and network"]}

decision := {"allow": count(refusals) == 0, "reasons": sort(refusals)} if {
	is_string(input.rung_wanted)
	is_array(input.rungs_available)
	is_boolean(input.network)
}

refusals contains sprintf("isolation %q is wanted, this machine has %s", [input.rung_wanted, available]) if {
	not input.rung_wanted in input.rungs_available
}

refusals contains sprintf("network is not granted for %q", [object.get(input, "purpose", "no purpose")]) if {
	input.network
	not object.get(input, "purpose", "") in data.ripple.settings.network_purposes
}

available := concat(", ", [sprintf("%v", [rung]) | some rung in input.rungs_available]) if {
	count(input.rungs_available) > 0
} else := "none"
