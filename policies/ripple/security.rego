# Gate 3: are the scans of a candidate's tree good enough for an environment?
# Code and secrets have to be scanned and clean everywhere. Misconfiguration and vulnerabilities may stay unscanned
# in dev and qa; staging and prod want a scan, or the reason why there is nothing new to scan.
package ripple.gates.security

import rego.v1

default decision := {"allow": false, "reasons": ["the request is incomplete: it needs an environment and its scans, each with scanner and state"]}

decision := {"allow": count(refusals) == 0, "reasons": array.concat(sort(refusals), sort(notes))} if {
	input.environment in environments
	is_array(input.scans)
	scans_complete
}

# The refusals below name scanner and state: without them a refusal would be undefined and so be lost.
scans_complete if {
	every scan in input.scans {
		is_string(scan.scanner)
		is_string(scan.state)
	}
}

environments := {"dev", "qa", "staging", "prod"}

lenient := {"dev", "qa"}

states := {"clean", "findings", "not_scanned", "not_applicable"}

always := {"code", "secrets"}

usually := {"misconfig", "vulnerabilities"}

refusals contains sprintf("%s: no scanner looked for it", [what]) if {
	some what in always
	count(scans_of(what)) == 0
}

refusals contains sprintf("%s: %v says %v, it must be clean", [what, scan.scanner, scan.state]) if {
	some what in always
	some scan in scans_of(what)
	scan.state != "clean"
}

refusals contains sprintf("%s: %v says it was not scanned, %s wants a scan%s", [
	what, scan.scanner, input.environment, because(scan),
]) if {
	some what in usually
	some scan in scans_of(what)
	unscanned(scan)
	not input.environment in lenient
}

refusals contains sprintf("%s: no scanner looked for it, %s wants a scan", [what, input.environment]) if {
	some what in usually
	count(scans_of(what)) == 0
	not input.environment in lenient
}

refusals contains sprintf("%v: %v finding: %v", [scan.scanner, severity(finding), title(finding)]) if {
	some scan in input.scans
	some finding in object.get(scan, "findings", [])
	not severity(finding) in {"LOW", "MEDIUM", "INFO", "NEGLIGIBLE"}
}

refusals contains sprintf("%v: findings without a list of them", [scan.scanner]) if {
	some scan in input.scans
	scan.state == "findings"
	count(object.get(scan, "findings", [])) == 0
}

refusals contains sprintf("%s: unknown state %q", [scan.scanner, scan.state]) if {
	some scan in input.scans
	not scan.state in states
}

notes contains sprintf("%s: not scanned%s; %s goes on without", [what, because(scan), input.environment]) if {
	some what in usually
	some scan in scans_of(what)
	unscanned(scan)
	input.environment in lenient
}

notes contains sprintf("%s: %v says there is nothing new to scan: %s", [what, scan.scanner, scan.reason]) if {
	some what in usually
	some scan in scans_of(what)
	excused(scan)
}

scans_of(what) := [scan | some scan in input.scans; looks_for(scan, what)]

looks_for(scan, what) if scan.covers == what

looks_for(scan, what) if {
	is_array(scan.covers)
	what in scan.covers
}

unscanned(scan) if scan.state == "not_scanned"

unscanned(scan) if {
	scan.state == "not_applicable"
	not excused(scan)
}

excused(scan) if {
	scan.state == "not_applicable"
	some accepted in data.ripple.settings.not_applicable_reasons
	startswith(scan.reason, accepted)
}

because(scan) := sprintf(" (%v)", [scan.reason]) if scan.reason else := ""

# A finding whose severity nobody knows counts as the worst.
severity(finding) := upper(finding.severity) if is_string(finding.severity) else := "UNKNOWN"

title(finding) := finding.title if finding.title else := finding
