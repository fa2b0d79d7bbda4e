package ripple.models_test

import data.ripple.models
import rego.v1

judged(given) := found if found := models.decision with input as given

ask(name, sha256, approved) := judged({"name": name, "sha256": sha256, "approved": approved})

test_the_default_model_is_allowed if ask("SmolLM2-135M-Instruct", null, []).allow

test_an_unnamed_model_is_refused if not ask("mystery-7b", null, []).allow

test_an_approved_name_is_allowed if ask("gemma-3-270m", "aa", ["gemma-3-270m"]).allow

test_an_approved_row_without_hash_is_allowed if ask("gemma-3-270m", "aa", [{"name": "gemma-3-270m", "sha256": null}]).allow

test_an_approved_row_with_the_same_hash_is_allowed if ask("gemma-3-270m", "aa", [{"name": "gemma-3-270m", "sha256": "aa"}]).allow

test_another_hash_is_refused if {
	not ask("gemma-3-270m", "bb", [{"name": "gemma-3-270m", "sha256": "aa"}]).allow
	not ask("gemma-3-270m", null, [{"name": "gemma-3-270m", "sha256": "aa"}]).allow
	not ask("smollm2-135m", "bb", [{"name": "smollm2-135m", "sha256": "aa"}]).allow
}

test_an_incomplete_request_is_refused if {
	not judged({}).allow
	not judged({"name": "smollm2-135m", "approved": []}).allow
	not judged({"name": "smollm2-135m", "sha256": null}).allow
}
