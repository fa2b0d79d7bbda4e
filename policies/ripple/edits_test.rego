package ripple.edits_test

import data.ripple.edits
import rego.v1

judged(given) := found if found := edits.decision with input as given

good := {
	"paths": ["src/checkout/app.py", "tests/unit/test_app.py"],
	"kind": "code",
	"config_dir": "config/",
	"protected": ["requirements.lock", "promptfooconfig.yaml"],
}

code(path) := found if found := edits.decision with input as object.union(good, {"paths": [path]})

config(path) := found if found := edits.decision with input as object.union(good, {"paths": [path], "kind": "config"})

test_code_may_touch_sources_and_tests if judged(good).allow

test_code_may_touch_config if code("config/prices.yaml").allow

test_protected_files_are_refused_anywhere if {
	every path in [
		"ripple.app.yaml", ".git/config", "sub/.git/hooks/pre-commit", ".GIT/config", ".git./config", ".git /config",
		"GIT~1/config", "environments/prod.yaml", "Environments/prod.yaml", "requirements.lock", "promptfooconfig.yaml",
		"conftest.py", "tests/unit/conftest.py", "tests/ConfTest.py", "pytest.ini", "tox.ini", "setup.cfg",
		"src/sitecustomize.py", "src/usercustomize.py", "src/evil.pth", ".github/workflows/ci.yml", "pyproject.toml",
		".gitattributes", ".gitmodules",
	] {
		not code(path).allow
	}
}

test_names_that_only_look_protected_are_allowed if {
	every path in ["src/environments.py", "src/environments/x.py", "docs/git.md", "src/requirements.lock.md", "src/my_conftest.py"] {
		code(path).allow
	}
}

test_paths_outside_the_repository_are_refused if {
	every path in [
		"../x", "a/../../x", "/etc/passwd", "", ".", "a//b", "a/./b", "a\\b", "C:evil", "a\nb", "a\u200b", "a\u0000b", 7, null,
	] {
		not code(path).allow
	}
}

test_one_bad_path_spoils_all if {
	not judged(object.union(good, {"paths": ["src/a.py", ".git/x"]})).allow
}

test_no_path_is_refused if not judged(object.union(good, {"paths": []})).allow

test_config_may_touch_only_its_folder if {
	config("config/prices.yaml").allow
	not config("src/app.py").allow
	not config("configuration/x.yaml").allow
	not config("config").allow
}

test_config_may_not_touch_its_schema if {
	not config("config/prices.schema.json").allow
	not config("config/prices.SCHEMA.json").allow
}

test_config_without_a_config_folder_is_refused if {
	given := object.union(good, {"paths": ["config/a.yaml"], "kind": "config", "config_dir": ""})
	not judged(given).allow
}

test_a_protected_folder_guards_what_is_below if {
	given := object.union(good, {"paths": ["deploy/prod/a.yaml"], "protected": ["deploy/"]})
	not judged(given).allow
}

test_other_kinds_are_refused if not judged(object.union(good, {"kind": "deployment"})).allow

test_an_incomplete_request_is_refused if {
	every key in object.keys(good) {
		not judged(object.remove(good, [key])).allow
	}
}
