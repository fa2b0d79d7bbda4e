"""The forms of a kept prompt (ADR 20): one is chosen, and both that have a form render the same messages."""

from __future__ import annotations

from ripple.model.system import SystemStatus
from ripple.stack.root import project_root
from ripple.stack.systems import load_map

SYSTEMS = {row.system.id: row.system for row in load_map(project_root() / "manifests").rows}


def messages_of(name: str) -> str:
    """The last line that a row's smoke test expects: the messages a model was asked with."""
    smoke = SYSTEMS[name].smoke
    assert smoke is not None
    return smoke.steps[-1].expect.removesuffix("$").rpartition("\\n")[2]


def test_prompty_and_baml_are_held_to_the_same_messages_of_the_same_prompt() -> None:
    assert messages_of("prompty") == messages_of("baml")
    assert messages_of("prompty").count("'system'") == 1
    assert "drop the table" in messages_of("prompty")


def test_one_form_of_prompts_is_chosen_and_the_others_know_it_as_their_owner() -> None:
    chosen, alternate, plugin = (SYSTEMS[name] for name in ("prompty", "baml", "promptolution"))
    assert chosen.answers.adoption == "first"
    assert (alternate.status, alternate.answers.owner) == (SystemStatus.ALTERNATE, chosen.id)
    assert (plugin.status, plugin.answers.owner) == (SystemStatus.PLUGIN, chosen.id)
