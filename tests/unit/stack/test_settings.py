"""Settings: the stronger source wins, and every source is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripple.model.errors import Invalid
from ripple.stack.root import project_root
from ripple.stack.settings import Settings, choices_of, flatten, nested, profile_of, resolve, save_choices

KEY = "inference.default_policy"
VARIABLE = "RIPPLE_SET_INFERENCE_DEFAULT_POLICY"


def manifests(folder: Path, *, profile: str = "{}") -> Path:
    (folder / "profiles").mkdir(parents=True)
    (folder / "settings.yaml").write_text("inference: {default_policy: from-manifest}\n")
    (folder / "profiles" / "laptop.yaml").write_text(f"settings: {profile}\n")
    return folder


def test_each_source_beats_the_ones_before_it(tmp_path: Path) -> None:
    folder = manifests(tmp_path / "m", profile="{inference: {default_policy: from-profile}}")
    chosen = tmp_path / "choices.json"
    assert resolve(folder, chosen).explain(KEY)["source"] == "profile"
    save_choices(chosen, choices_of("laptop", [], {VARIABLE: "from-environment"}))
    assert resolve(folder, chosen).explain(KEY)["value"] == "from-environment"
    save_choices(chosen, choices_of("laptop", [f"{KEY}=from-flag"], {VARIABLE: "from-environment"}))
    found = resolve(folder, chosen).explain(KEY)
    assert (found["value"], found["source"]) == ("from-flag", "flag")
    assert [one["value"] for one in found["all"]] == [
        "from-manifest",
        "from-profile",
        "from-environment",
        "from-flag",
    ]


def test_the_same_choice_again_is_no_news(tmp_path: Path) -> None:
    choice = choices_of("laptop", [f"{KEY}=x"], {})
    assert save_choices(tmp_path / "c.json", choice) is True
    assert save_choices(tmp_path / "c.json", choice) is False


@pytest.mark.parametrize(
    ("flags", "environment", "near"),
    [
        (["inference.defualt_policy=x"], {}, "inference.default_policy"),
        ([], {"RIPPLE_SET_INFERENCE_DEFAULT_POLICI": "x"}, VARIABLE),
    ],
)
def test_an_unknown_key_names_the_nearest(flags: list[str], environment: dict[str, str], near: str) -> None:
    with pytest.raises(Invalid, match=near):
        choices_of("laptop", flags, environment)


def test_a_flag_without_a_value_says_how_to_write_it() -> None:
    with pytest.raises(Invalid, match="KEY=VALUE"):
        choices_of("laptop", [KEY], {})


def test_a_wrong_value_names_the_source_it_comes_from(tmp_path: Path) -> None:
    folder = manifests(tmp_path / "m", profile="{changes: {steps_at_once: 0}}")
    with pytest.raises(Invalid, match="settings of the profile"):
        resolve(folder, tmp_path / "none.json")


def test_the_manifest_of_this_checkout_sets_every_key_there_is() -> None:
    found = resolve(project_root() / "manifests", Path("/nonexistent"))
    assert set(found.said["manifest"]) == set(flatten(Settings().model_dump()))


@given(st.dictionaries(st.from_regex(r"[a-z]{1,5}\.[a-z]{1,5}", fullmatch=True), st.integers()))
def test_nesting_and_flattening_are_inverse(flat: dict[str, int]) -> None:
    assert flatten(nested(flat)) == flat


def test_the_profile_is_the_one_the_instance_was_started_with(tmp_path: Path) -> None:
    choices = tmp_path / "choices.json"
    assert profile_of(choices) == "laptop"
    save_choices(choices, choices_of("small", [], {}))
    assert profile_of(choices) == "small"
