# May this model provider be added or asked? Approved adapters only; plain HTTP only to this machine.
package ripple.providers

import rego.v1

default decision := {"allow": false, "reasons": ["the request is incomplete: it needs adapter and base_url (or null)"]}

decision := {"allow": count(refusals) == 0, "reasons": sort(refusals)} if {
	is_string(input.adapter)
	url_or_null
}

url_or_null if input.base_url == null

url_or_null if is_string(input.base_url)

refusals contains sprintf("adapter %q is not approved; %s are", [
	input.adapter,
	concat(", ", allowed_adapters),
]) if {
	not input.adapter in allowed_adapters
}

# A default, so that missing settings refuse instead of leaving the refusal undefined.
default allowed_adapters := []

allowed_adapters := data.ripple.settings.allowed_adapters

refusals contains sprintf("%s: use https; plain http only reaches this machine (127.0.0.1, localhost, [::1])", [input.base_url]) if {
	is_string(input.base_url)
	not safe
}

safe if {
	is_string(input.base_url)
	some pattern in [
		`^https://[A-Za-z0-9._~-]+(:[0-9]{1,5})?(/[^\s\\@]*)?$`,
		`^https://\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?(/[^\s\\@]*)?$`,
		`^http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?(/[^\s\\@]*)?$`,
	]
	regex.match(pattern, input.base_url)
}
