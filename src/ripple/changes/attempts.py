"""How often an activity is tried, and what an operator reads when it is not tried again."""

from __future__ import annotations

from ripple.model.errors import RippleError

MAX_CRASHES = 5
"""Attempts of one step that end in an unexpected error before the change is refused: unknown means no."""
MAX_OUTAGES = 60
"""Attempts of one step against a system that does not answer (about five minutes) before it is refused."""


def may_try_again(error: Exception) -> bool:
    """Whether this attempt's failure is worth another one: an outage for minutes, a crash a few times.

    A refusal is not, for the answer would be the same.
    """
    attempt = _attempt()
    if isinstance(error, RippleError):
        return error.retryable and attempt < MAX_OUTAGES
    return attempt < MAX_CRASHES


def said(error: Exception, what: str) -> str:
    """The reason an operator reads: our own errors say it themselves, of a crash its kind and what it hit."""
    if isinstance(error, RippleError):
        return str(error)
    attempts = _attempt()
    return f"{what} crashed {attempts} times, last with {type(error).__name__}: {error}; see ./ripple logs worker"


def _attempt() -> int:
    # Only an activity asks, and then this is loaded. The API, which never does, starts without Temporal's SDK.
    from temporalio import activity

    return activity.info().attempt
