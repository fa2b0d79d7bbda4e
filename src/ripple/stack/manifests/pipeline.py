"""``cloud/ci_pipeline.yaml``: what continuous integration runs, in the form of GitHub Actions (R12.7). Pure.

- Every step is a ``run``: an action from elsewhere would be code that nothing pins.
- Some job runs ``./ripple test``, and every ``./ripple`` verb a step calls is one there is.
"""

from __future__ import annotations

import graphlib
import re
from collections.abc import Collection, Iterator
from typing import Any

from pydantic import Field

from ripple.stack.manifests.section import Section

TEST = "./ripple test"
_CALL = re.compile(r"(?:^|[\s;&|(])\./ripple +([a-z][a-z-]*(?: +[a-z][a-z-]*)*)")
_PIPED = re.compile(r"\b(curl|wget)\b[^\n]*\|\s*(ba|da|z)?sh\b")


class Step(Section):
    """One step."""

    name: str = Field(min_length=1)
    run: str | None = None
    uses: str | None = None
    env: dict[str, str] = {}
    shell: str | None = None
    condition: str | None = Field(default=None, alias="if")


class Job(Section):
    """One job."""

    name: str = ""
    runs_on: str = Field(alias="runs-on", pattern=r"^(ubuntu|macos|windows)-[0-9][0-9a-z.-]*$")
    timeout_minutes: int = Field(alias="timeout-minutes", ge=1, le=360)
    needs: tuple[str, ...] = ()
    env: dict[str, str] = {}
    steps: tuple[Step, ...] = Field(min_length=1)


class Pipeline(Section):
    """The workflow. ``runs-on`` names a version: ``-latest`` is no pin."""

    name: str = Field(min_length=1)
    on: dict[str, Any] = Field(min_length=1)
    permissions: dict[str, str]
    concurrency: dict[str, Any] | None = None
    jobs: dict[str, Job] = Field(min_length=1)


def calls(pipeline: Pipeline) -> tuple[str, ...]:
    """The words after ``./ripple`` of every step, in order."""
    return tuple(found for job in pipeline.jobs.values() for step in job.steps for found in _called(step))


def faults(pipeline: Pipeline, verbs: Collection[str] | None = None) -> list[str]:
    """What is wrong with the pipeline; with ``verbs`` also each call of a verb that is not there."""
    found = [fault for name, job in pipeline.jobs.items() for step in job.steps for fault in _step(name, step)]
    found += _order(pipeline)
    found += [
        f"permissions: {scope} is {value}; a test only reads"
        for scope, value in pipeline.permissions.items()
        if value not in ("read", "none")
    ]
    called = calls(pipeline)
    if not any(_is(TEST.removeprefix("./ripple "), call) for call in called):
        found.append(f"no step runs {TEST}")
    if verbs is not None:
        found += [f"./ripple {call} is no verb" for call in called if not any(_is(verb, call) for verb in verbs)]
    return found


def _called(step: Step) -> list[str]:
    return [" ".join(words.split()) for words in _CALL.findall(step.run or "")]


def _is(verb: str, call: str) -> bool:
    return call == verb or call.startswith(f"{verb} ")


def _step(job: str, step: Step) -> Iterator[str]:
    where = f"{job}: {step.name}"
    if step.uses is not None:
        yield f"{where}: uses {step.uses}, code from elsewhere that nothing pins; write a run step"
    if not (step.run or "").strip() and step.uses is None:
        yield f"{where}: runs nothing"
    if _PIPED.search(step.run or ""):
        yield f"{where}: pipes a download into a shell; nothing checks what it runs"


def _order(pipeline: Pipeline) -> list[str]:
    missing = [
        f"{name} needs {need}, which is no job"
        for name, job in pipeline.jobs.items()
        for need in job.needs
        if need not in pipeline.jobs
    ]
    try:
        list(graphlib.TopologicalSorter({name: job.needs for name, job in pipeline.jobs.items()}).static_order())
    except graphlib.CycleError as error:
        missing.append(f"jobs need each other in a circle: {' → '.join(error.args[1])}")
    return missing
