package ripple.gates.security_test

import data.ripple.gates.security
import rego.v1

code := {"scanner": "bandit", "covers": "code", "state": "clean", "findings": []}

secrets := {"scanner": "detect-secrets", "covers": "secrets", "state": "clean", "findings": []}

misconfig := {"scanner": "trivy", "covers": "misconfig", "state": "clean", "findings": []}

vulnerabilities := {"scanner": "trivy", "covers": "vulnerabilities", "state": "clean", "findings": []}

everywhere := ["dev", "qa", "staging", "prod"]

verdict(environment, scans) := found if {
	found := security.decision with input as {"environment": environment, "scans": scans}
}

with_state(scan, state) := object.union(scan, {"state": state})

unscanned(scan) := object.union(scan, {"state": "not_scanned", "reason": "no database"})

excused(scan) := object.union(scan, {"state": "not_applicable", "reason": "dependency files unchanged"})

found_in(scan, severity) := object.union(scan, {
	"state": "findings",
	"findings": [{"severity": severity, "title": "CVE-1"}],
})

test_all_clean_passes_everywhere if {
	every environment in everywhere {
		verdict(environment, [code, secrets, misconfig, vulnerabilities]).allow
	}
}

test_one_scan_may_cover_several if {
	both := object.union(code, {"covers": ["misconfig", "vulnerabilities"]})
	verdict("prod", [code, secrets, both]).allow
}

test_code_and_secrets_must_be_clean_everywhere if {
	every environment in everywhere {
		every state in ["findings", "not_scanned", "not_applicable", "unknown", ""] {
			not verdict(environment, [with_state(code, state), secrets, misconfig, vulnerabilities]).allow
			not verdict(environment, [code, with_state(secrets, state), misconfig, vulnerabilities]).allow
		}
	}
}

test_code_and_secrets_must_be_covered if {
	every environment in everywhere {
		not verdict(environment, [secrets, misconfig, vulnerabilities]).allow
		not verdict(environment, [code, misconfig, vulnerabilities]).allow
		not verdict(environment, []).allow
	}
}

test_unscanned_passes_dev_and_qa_with_a_reason if {
	every environment in ["dev", "qa"] {
		found := verdict(environment, [code, secrets, unscanned(misconfig), unscanned(vulnerabilities)])
		found.allow
		count(found.reasons) == 2
	}
}

test_unscanned_is_refused_for_staging_and_prod if {
	every environment in ["staging", "prod"] {
		not verdict(environment, [code, secrets, unscanned(misconfig), vulnerabilities]).allow
		not verdict(environment, [code, secrets, misconfig, unscanned(vulnerabilities)]).allow
		not verdict(environment, [code, secrets]).allow
	}
}

test_unchanged_dependencies_excuse_a_missing_scan if {
	every environment in everywhere {
		verdict(environment, [code, secrets, excused(misconfig), excused(vulnerabilities)]).allow
	}
}

test_any_other_excuse_counts_as_not_scanned if {
	other := object.union(vulnerabilities, {"state": "not_applicable", "reason": "no time"})
	silent := object.union(vulnerabilities, {"state": "not_applicable"})
	not verdict("prod", [code, secrets, misconfig, other]).allow
	not verdict("prod", [code, secrets, misconfig, silent]).allow
	verdict("dev", [code, secrets, misconfig, other]).allow
}

test_grave_findings_are_refused_everywhere if {
	every environment in everywhere {
		every severity in ["HIGH", "CRITICAL", "critical", "UNKNOWN", "whatever", null] {
			not verdict(environment, [code, secrets, misconfig, found_in(vulnerabilities, severity)]).allow
		}
	}
}

test_small_findings_pass if {
	every severity in ["LOW", "medium"] {
		verdict("prod", [code, secrets, misconfig, found_in(vulnerabilities, severity)]).allow
	}
}

test_findings_without_a_list_are_refused if {
	not verdict("dev", [code, secrets, misconfig, with_state(vulnerabilities, "findings")]).allow
}

test_a_clean_scan_with_a_grave_finding_is_refused if {
	odd := object.union(code, {"findings": [{"severity": "HIGH", "title": "eval"}]})
	not verdict("dev", [odd, secrets, misconfig, vulnerabilities]).allow
}

test_an_unknown_state_is_refused if {
	not verdict("dev", [code, secrets, misconfig, with_state(vulnerabilities, "maybe")]).allow
	not verdict("dev", [code, secrets, misconfig, object.remove(vulnerabilities, ["state"])]).allow
}

test_an_unknown_environment_is_refused if not verdict("moon", [code, secrets, misconfig, vulnerabilities]).allow
