# May this local model file be used? It has to be named in the default set or in the approved list, and where that
# list knows a hash, the file must have it.
package ripple.models

import rego.v1

default decision := {"allow": false, "reasons": ["the request is incomplete: it needs name, sha256 (or null) and approved"]}

decision := {"allow": count(refusals) == 0, "reasons": sort(refusals)} if {
	is_string(input.name)
	known_hash_or_null
	is_array(input.approved)
}

known_hash_or_null if input.sha256 == null

known_hash_or_null if is_string(input.sha256)

refusals contains sprintf("model %q is neither in the default set nor approved", [input.name]) if {
	not named
}

refusals contains sprintf("model %s is approved with hash %v, this file has %v", [input.name, row.sha256, input.sha256]) if {
	some row in input.approved
	row.name == input.name
	is_string(row.sha256)
	row.sha256 != input.sha256
}

named if lower(input.name) in data.ripple.settings.default_models

named if input.name in input.approved

named if {
	some row in input.approved
	row.name == input.name
}
