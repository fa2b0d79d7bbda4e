"""What flows and activities tell each other, and by which names. Nothing here needs Temporal's SDK.

Whoever starts a flow names it; only the worker loads the code of flows and activities.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ripple.model.change import StepName

TASK_QUEUE = "ripple-changes"
CHANGE_FLOW, TASK_FLOW = "Change", "Task"
"""The names of the flows."""
PROPOSAL_STEPS = (StepName.ADMIT, StepName.CONTEXT, StepName.PROPOSE, StepName.TRY, StepName.REDUCE)
TRIAL_STEPS = (StepName.TRY, StepName.REDUCE)

GO, STOP, AGAIN, WAIT = "go", "stop", "again", "wait"
"""What an activity may answer: go on, end here, try again on a new base, wait for a person.

A task that waits for a lease says so to its frame alone, which has it run again a little later.
"""


@dataclass
class StepResult:
    """What an activity tells the flow: one of the verdicts above, and why."""

    verdict: str
    reasons: list[str] = field(default_factory=list)


@dataclass
class StepCall:
    """What the flow asks of an activity."""

    change_id: str
    step: str = ""
    approved_by: str = ""
    state: str = ""
    reasons: list[str] = field(default_factory=list)
    trace_id: str = ""
    """Of a task outside a change: what the operator was told, and what its end is written down under."""


def take_back_id(change_id: str) -> str:
    """The flow that takes a promoted change back: one at a time, whoever asks."""
    return f"take-back-{change_id}"
