"""``promptfooconfig.yaml`` as Ripple can run it: parsed, and unfolded into one case per provider, prompt and test.

What promptfoo offers beyond that (models, scripts as assertions, transforms, files) is refused with its name, so
that an eval nobody ran never looks like one that passed.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ripple.model.errors import Invalid

MAX_CASES = 500
_VARIABLE = re.compile(r"\{\{-?\s*([A-Za-z_]\w*)\s*-?\}\}")
_TEMPLATE = re.compile(r"\{\{|\{%|\{#")
_FILES = re.compile(r"^file://|^\S+\.(txt|json|jsonl|ya?ml|csv|md|j2|py|js|mjs|ts)$")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Assertion(_Part):
    """What an output has to be."""

    type: str
    value: Any = None
    weight: float = Field(default=1, ge=0)
    metric: str | None = None


class EvalTest(_Part):
    """Values for the prompt's variables and what is asserted of the output."""

    description: str = ""
    vars: dict[str, Any] = {}
    assertions: tuple[Assertion, ...] = Field(default=(), alias="assert")
    threshold: float | None = Field(default=None, ge=0, le=1)
    metadata: Any = None


class Provider(_Part):
    """A program that gets the prompt as its first argument and prints the output."""

    id: str
    label: str | None = None
    config: dict[str, Any] = {}


class Prompt(_Part):
    """One prompt with ``{{variables}}``."""

    raw: str
    label: str | None = None


class EvalConfig(_Part):
    """The whole file. What only concerns promptfoo's own display or storage is read and not used."""

    description: str = ""
    prompts: str | tuple[str | Prompt, ...]
    providers: str | tuple[str | Provider, ...]
    tests: tuple[EvalTest, ...]
    default_test: EvalTest = Field(default=EvalTest(), alias="defaultTest")
    evaluate_options: Any = Field(default=None, alias="evaluateOptions")
    command_line_options: Any = Field(default=None, alias="commandLineOptions")
    output_path: Any = Field(default=None, alias="outputPath")
    sharing: Any = None
    tags: Any = None


@dataclass(frozen=True)
class Case:
    """One call of a program and what its output has to be; ``command`` ends in promptfoo's three arguments."""

    name: str
    provider: str
    prompt: str
    command: tuple[str, ...]
    assertions: tuple[Assertion, ...]
    threshold: float | None


def unfold(config: EvalConfig) -> list[Case]:
    """All cases of ``config``, in the file's order.

    Raises:
        Invalid: the file asks for something that is not supported, or for more than 500 calls.
    """
    cases = list(itertools.islice(_cases(config), MAX_CASES + 1))
    if len(cases) > MAX_CASES:
        raise Invalid(f"the evals are more than {MAX_CASES} calls; ask for fewer")
    return cases


def _cases(config: EvalConfig) -> Iterator[Case]:
    prompts = (config.prompts,) if isinstance(config.prompts, str) else config.prompts
    providers = (config.providers,) if isinstance(config.providers, str) else config.providers
    for number, test in enumerate(config.tests, 1):
        for values in _each({**config.default_test.vars, **test.vars}):
            for given, prompt in itertools.product(providers, prompts):
                provider = Provider(id=given) if isinstance(given, str) else given
                yield _case(config, test, test.description or f"test {number}", provider, _raw(prompt), values)


def _case(
    config: EvalConfig, test: EvalTest, name: str, provider: Provider, raw: str, values: Mapping[str, Any]
) -> Case:
    prompt = render(raw, values, name)
    wanted = [
        one.model_copy(update={"value": _rendered(one.value, values, name)})
        for one in (*config.default_test.assertions, *test.assertions)
    ]
    if not wanted:
        raise Invalid(f"{name}: it asserts nothing, so it proves nothing; add assert")
    options = {"id": provider.id, "config": provider.config}
    context = {"vars": dict(values), "prompt": {"raw": raw, "label": raw}}
    command = (*_program(provider), prompt, json.dumps(options), json.dumps(context))
    threshold = test.threshold if test.threshold is not None else config.default_test.threshold
    return Case(name, provider.label or provider.id, prompt, command, tuple(wanted), threshold)


def render(template: str, values: Mapping[str, Any], where: str) -> str:
    """``template`` with its ``{{variables}}`` filled in; Invalid for anything else that a template could hold."""
    parts = _VARIABLE.split(template)
    if any(_TEMPLATE.search(text) for text in parts[::2]):
        raise Invalid(f"{where}: {template!r} uses more of templates than variables; that is not supported")
    missing = [name for name in parts[1::2] if name not in values]
    if missing:
        raise Invalid(f"{where}: {template!r} names {missing[0]!r}, which is no variable of the test")
    return "".join(
        _as_text(values[one]) if odd else one for odd, one in zip(itertools.cycle((0, 1)), parts, strict=False)
    )


def _each(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A list as a variable's value is several tests, one for each combination."""
    for name, value in values.items():
        texts = value if isinstance(value, list) else [value]
        if any(isinstance(text, str) and (_TEMPLATE.search(text) or text.startswith("file://")) for text in texts):
            raise Invalid(f"variable {name!r} holds a template or a file; that is not supported, give plain text")
    lists = [value if isinstance(value, list) else [value] for value in values.values()]
    for chosen in itertools.product(*lists):
        yield dict(zip(values, chosen, strict=True))


def _raw(prompt: str | Prompt) -> str:
    text = prompt if isinstance(prompt, str) else prompt.raw
    if _FILES.search(text):
        raise Invalid(f"prompt {text!r} is a file; that is not supported, write the prompt itself")
    return text


def _program(provider: Provider) -> list[str]:
    if not provider.id.startswith("exec:"):
        raise Invalid(
            f"provider {provider.id!r} is not supported; give a program of the application, exec:COMMAND"
        )
    try:
        words = shlex.split(provider.id.removeprefix("exec:"))
    except ValueError as error:
        raise Invalid(f"provider {provider.id!r} is no command: {error}") from error
    if not words:
        raise Invalid("provider 'exec:' names no command")
    return words


def _rendered(value: Any, values: Mapping[str, Any], where: str) -> Any:
    if isinstance(value, list):
        return [_rendered(one, values, where) for one in value]
    if isinstance(value, str):
        if value.startswith("file://"):
            raise Invalid(f"{where}: an expected value in a file is not supported; write the value itself")
        return render(value, values, where) if "{{" in value else value
    return value


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value)
