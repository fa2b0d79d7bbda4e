package ripple.providers_test

import data.ripple.providers
import rego.v1

judged(given) := found if found := providers.decision with input as given

at(url) := judged({"adapter": "openai", "base_url": url})

test_approved_adapters_are_allowed if {
	every adapter in ["openai", "claude-code", "codex", "github-copilot", "abacus", "openrouter"] {
		judged({"adapter": adapter, "base_url": null}).allow
	}
}

test_other_adapters_are_refused if not judged({"adapter": "curl", "base_url": null}).allow

test_https_is_allowed_anywhere if {
	every url in ["https://api.openai.com/v1", "https://openrouter.ai/api/v1", "https://10.0.0.7:8443", "https://[2001:db8::1]/v1"] {
		at(url).allow
	}
}

test_http_reaches_only_this_machine if {
	every url in ["http://127.0.0.1:8080/v1", "http://localhost:1234", "http://[::1]:80/v1", "http://127.0.0.1"] {
		at(url).allow
	}
	every url in [
		"http://example.com/v1", "http://10.0.0.7:8080", "http://127.0.0.1@evil.example/v1", "http://127.0.0.1.evil.example",
		"http://localhost.evil.example", "http://127.0.0.1:80@evil.example/", "http://127.0.0.1\\@evil.example", "http://0.0.0.0:80",
	] {
		not at(url).allow
	}
}

test_odd_urls_are_refused if {
	every url in ["", "ftp://example.com", "file:///etc/passwd", "https://", "https://user:secret@example.com", "https://a b", "//example.com", "https://example.com\nx"] {
		not at(url).allow
	}
}

test_an_incomplete_request_is_refused if {
	not judged({}).allow
	not judged({"adapter": "openai"}).allow
	not judged({"base_url": null}).allow
}
