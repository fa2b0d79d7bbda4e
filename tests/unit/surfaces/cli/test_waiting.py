"""Waiting for a change shows each step once, lives through outages, and ends."""

from __future__ import annotations

from typing import Any, cast

import pytest

from ripple.model.errors import DeadlineExceeded, NotFound, RippleError, Unavailable
from ripple.surfaces.cli.client import Api
from ripple.surfaces.cli.waiting import wait_for_application, wait_for_change


class Answers:
    """Gives one answer after the other, then the last one for ever."""

    def __init__(self, *answers: dict[str, Any] | RippleError) -> None:
        self.answers = list(answers)

    def get(self, path: str) -> dict[str, Any]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, RippleError):
            raise answer
        return answer


def api(*answers: dict[str, Any] | RippleError) -> Api:
    return cast("Api", Answers(*answers))


def step(name: str, state: str, began: str, seconds: float | None = 1.5) -> dict[str, Any]:
    return {"step": name, "state": state, "started_at": began, "duration_seconds": seconds, "reasons": ["why not"]}


def change(state: str, *steps: dict[str, Any]) -> dict[str, Any]:
    return {"id": "chg-1", "state": state, "step": None, "steps": list(steps)}


def retryable() -> RippleError:
    """What the API's own answer 503 becomes: no Unavailable, but one that may be tried again."""
    error = RippleError("temporal does not answer", code="unavailable")
    error.retryable = True
    return error


def test_each_step_is_shown_once_and_again_when_it_ran_again(capfd: pytest.CaptureFixture[str]) -> None:
    first, again = step("try", "passed", "1"), step("try", "passed", "2")
    end = change("promoted", again)
    assert wait_for_change(api(change("running", first), change("running", first), end), "chg-1", 20) == end
    assert capfd.readouterr().err.count("1.50 s: why not") == 2


def test_a_step_that_was_stopped_has_no_duration_and_is_shown_all_the_same(
    capfd: pytest.CaptureFixture[str],
) -> None:
    wait_for_change(api(change("cancelled", step("gates", "refused", "1", None))), "chg-1", 20)
    assert "refused  stopped" in capfd.readouterr().err


@pytest.mark.parametrize("outage", [Unavailable("the instance does not answer"), retryable()])
def test_an_outage_is_waited_through(outage: RippleError) -> None:
    assert wait_for_change(api(outage, change("promoted")), "chg-1", 20)["state"] == "promoted"
    ready = {"name": "checkout", "state": "ready"}
    assert wait_for_application(api(outage, ready), "checkout", 20) == ready


def test_what_will_not_get_better_is_not_waited_for() -> None:
    with pytest.raises(NotFound):
        wait_for_change(api(NotFound("no change")), "chg-1", 20)


def test_waiting_ends_at_its_deadline_and_says_where_to_look() -> None:
    with pytest.raises(DeadlineExceeded, match=r"\./ripple change show chg-1"):
        wait_for_change(api(change("running")), "chg-1", 0.1)
    with pytest.raises(DeadlineExceeded, match=r"\./ripple app show checkout"):
        wait_for_application(api({"state": "adopting"}), "checkout", 0.1)
