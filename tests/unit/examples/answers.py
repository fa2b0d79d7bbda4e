"""Answers that a model could give about the example, by name; ``answers/*.json`` hold intent and answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonpatch

from ripple.model.candidate import Answer

FOLDER = Path(__file__).parent / "answers"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


@dataclass(frozen=True)
class Known:
    """What an operator asks for and one answer to it."""

    intent: str
    answer: Answer


def known(name: str) -> Known:
    """The answer of that name, valid by the published schema."""
    data: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return Known(data["intent"], Answer.model_validate(data["answer"]))


def apply(answer: Answer, tree: Path) -> None:
    """Change ``tree`` the way the answer says; each ``find`` has to occur exactly once."""
    for edit in answer.edits:
        path = tree / edit.path
        text = path.read_text(encoding="utf-8")
        assert edit.find is not None and edit.replace is not None and text.count(edit.find) == 1, edit
        path.write_text(text.replace(edit.find, edit.replace), encoding="utf-8")
    for change in answer.config:
        path = tree / change.path
        operations = [step.model_dump(by_alias=True, exclude_none=True) for step in change.patch]
        value = jsonpatch.apply_patch(json.loads(path.read_text(encoding="utf-8")), operations)
        path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
