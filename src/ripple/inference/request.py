"""What a model is asked: messages, and the JSON schema its answer has to satisfy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Request:
    """One question to one voter.

    Temperature 0 and a fixed seed make a model as repeatable as its server allows; the vote itself is
    deterministic whatever the answers are. ``max_tokens`` is the most the answer may take.
    """

    messages: tuple[Mapping[str, str], ...]
    schema: Mapping[str, Any]
    schema_name: str
    max_tokens: int
    temperature: float = 0.0
    seed: int = 0
