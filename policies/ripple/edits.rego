# May a change touch these paths? Paths are relative to the repository, with forward slashes.
# Compared in lower case and without trailing dots and spaces, as file systems exist that see no difference.
package ripple.edits

import rego.v1

default decision := {"allow": false, "reasons": ["the request is incomplete: it needs paths, kind, config_dir and protected"]}

# The short way first: all paths at once, and only what is plainly in order. What it does not see through (text beyond
# ASCII, odd segments, a name that is protected elsewhere) goes the long way, which alone says no.
decision := {"allow": true, "reasons": []} if {
	input.kind == "code"
	is_string(input.config_dir)
	is_array(input.protected)
	is_array(input.paths)
	every path in input.paths { is_string(path) }
	joined := concat("/", input.paths)
	not regex.match(`[^ -~]|[\\:]|[. /](/|$)|^(/|$)`, joined)
	parts := split(lower(joined), "/")
	lists := data.ripple.settings
	is_array(lists.protected_names)
	is_array(lists.protected_segments)
	is_array(lists.protected_folders)
	is_array(lists.protected_suffixes)
	not strings.any_suffix_match(parts, lists.protected_suffixes)
	named := array.concat(array.concat(lists.protected_names, lists.protected_segments), lists.protected_folders)
	every part in parts { not part in named }
	every one in input.protected {
		is_string(one)
		guarded := split(lower(trim(one, "/")), "/")
		not trim_right(guarded[count(guarded) - 1], ". ") in parts
	}
} else := {"allow": count(refusals) == 0, "reasons": sort(refusals)} if {
	is_array(input.paths)
	is_string(input.kind)
	is_string(input.config_dir)
	is_array(input.protected)
	settings_complete
}

# Without its lists nothing would be protected, so nothing is allowed.
settings_complete if {
	every list in ["protected_names", "protected_segments", "protected_folders", "protected_suffixes"] {
		is_array(data.ripple.settings[list])
	}
}

refusals contains "the change touches no file" if count(input.paths) == 0

refusals contains sprintf("changes of kind %s are not taken; code and config are", [input.kind]) if {
	not input.kind in {"code", "config"}
}

refusals contains sprintf("%v: not a path inside the repository", [path]) if {
	some path in input.paths
	not path in inner
}

refusals contains sprintf("%s: protected, a change may not touch it", [path]) if {
	some path in inner
	protected(segments(path))
}

refusals contains sprintf("%s: a config change may touch only files below %s", [path, config_folder]) if {
	input.kind == "config"
	config_folder != ""
	some path in inner
	not startswith(path, concat("", [config_folder, "/"]))
}

refusals contains "the application declares no config folder, so nothing can be changed as config" if {
	input.kind == "config"
	config_folder == ""
}

refusals contains sprintf("%s: a config change may not touch the schema it is checked against", [path]) if {
	input.kind == "config"
	some path in inner
	endswith(lower(path), ".schema.json")
}

config_folder := trim(trim_prefix(input.config_dir, "./"), "/")

inner contains path if {
	some path in input.paths
	inside(path)
}

inside(path) if {
	is_string(path)
	path != ""
	not regex.match(`[\p{C}\\:]`, path)
	count({part | some part in split(path, "/"); part in {"", ".", ".."}}) == 0
}

segments(path) := [trim_right(part, ". ") | some part in split(lower(path), "/")]

protected(parts) if {
	some part in parts
	part in data.ripple.settings.protected_segments
}

protected(parts) if parts[count(parts) - 1] in data.ripple.settings.protected_names

protected(parts) if {
	some suffix in data.ripple.settings.protected_suffixes
	endswith(parts[count(parts) - 1], suffix)
}

protected(parts) if parts[0] in data.ripple.settings.protected_folders

protected(parts) if {
	some one in input.protected
	guarded := segments(trim(trim_prefix(one, "./"), "/"))
	array.slice(parts, 0, count(guarded)) == guarded
}
