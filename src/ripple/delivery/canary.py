"""Whether a canary may stay: a pure decision over what was counted.

Rules of :func:`analyse`. *Surely* means: by an exact one-sided test at 1 %, so noise rarely ends a good canary.

- A canary fails at any time when, over the whole window or over the last seconds alone,
  - surely more of its requests fail than the objective allows, and at least two did; or
  - surely more of them fail than of the baseline's (Fisher); or
  - with enough requests, surely more than 5 % of them are slower than the objective's p95; or
  - with enough requests on both sides, its p95 is more than 1.5 times and 20 ms above the baseline's, surely more
    than 5 % of its requests are slower than that, and its median is that far above the baseline's too: requests
    that wait for one hiccup of the machine are slow together, so a slow tail alone is no proof against a canary.
- At the end of the window a canary with enough requests fails when its error rate or p95 is above the objective.
- At the end of the window a canary with too few requests is inconclusive; before the end it always is.
- Otherwise it passes. Without a baseline only the objective counts. The order of requests never matters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ripple.model.application import Slo
from ripple.model.gate import Verdict

SURE = 0.01
SLOWER_FACTOR = 1.5
SLOWER_SECONDS = 0.02
TAIL_SHARE = 0.05
"""p95 leaves 5 % of the requests above it."""


@dataclass(frozen=True)
class Window:
    """Counted requests: how many, how many failed, and durations in seconds (the latest of them when many)."""

    requests: int
    errors: int
    seconds: tuple[float, ...]

    @classmethod
    def of(cls, outcomes: Iterable[tuple[bool, float]]) -> Window:
        """From pairs of (failed, seconds)."""
        pairs = list(outcomes)
        return cls(len(pairs), sum(failed for failed, _ in pairs), tuple(seconds for _, seconds in pairs))


@dataclass(frozen=True)
class Stats:
    """A window in five numbers. Percentiles are by nearest rank; 0 without requests."""

    requests: int
    errors: int
    error_rate: float
    p50_seconds: float
    p95_seconds: float


@dataclass(frozen=True)
class Observed:
    """What is judged at one moment: both sides, over the whole window and over its last seconds."""

    canary: Window
    baseline: Window | None = None
    recent_canary: Window | None = None
    recent_baseline: Window | None = None


@dataclass(frozen=True)
class Analysis:
    """The verdict with its reasons and the numbers it was drawn from."""

    verdict: Verdict
    reasons: tuple[str, ...]
    canary: Stats
    baseline: Stats | None
    elapsed_seconds: float = 0.0


def analyse(observed: Observed, slo: Slo, min_samples: int, *, ended: bool) -> Analysis:
    """Judge a canary by the rules above; ``ended`` says that the window is over."""
    pairs = [("", observed.canary, observed.baseline)]
    if observed.recent_canary is not None:
        pairs.append((" in the last seconds", observed.recent_canary, observed.recent_baseline))
    reasons = [
        reason + when
        for when, canary, baseline in pairs
        for reason in _surely_bad(canary, baseline, slo, min_samples)
    ]
    canary = stats(observed.canary)
    if ended and canary.requests >= min_samples:
        reasons += _above_objective(canary, slo)
    baseline = stats(observed.baseline) if observed.baseline is not None else None
    if reasons:
        return Analysis(Verdict.FAIL, tuple(dict.fromkeys(reasons)), canary, baseline)
    if canary.requests < min_samples:
        why = f"the canary answered {canary.requests} requests, {min_samples} are needed to judge it"
        return Analysis(Verdict.INCONCLUSIVE, (why,), canary, baseline)
    if not ended:
        return Analysis(Verdict.INCONCLUSIVE, ("no fault so far; the window is still open",), canary, baseline)
    return Analysis(Verdict.PASS, (_praise(canary, baseline),), canary, baseline)


def stats(window: Window) -> Stats:
    """The five numbers of a window."""
    rate = window.errors / window.requests if window.requests else 0.0
    ordered = sorted(window.seconds)
    return Stats(window.requests, window.errors, rate, percentile(ordered, 0.50), percentile(ordered, 0.95))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of ascending values; 0 when there are none."""
    if not ordered:
        return 0.0
    # the small subtraction keeps 0.95 * 20 at rank 19: the product is 19.000000000000004 in floating point
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]


def binomial_tail(successes: int, trials: int, chance: float) -> float:
    """P(X >= successes) for ``trials`` independent tries with probability ``chance``."""
    if successes <= 0:
        return 1.0
    if chance <= 0 or successes > trials:
        return 0.0
    if chance >= 1:
        return 1.0
    log_first = (
        _log_choose(trials, successes) + successes * math.log(chance) + (trials - successes) * math.log1p(-chance)
    )
    odds = chance / (1 - chance)
    return _tail(log_first, successes, trials, lambda k: (trials - k) / (k + 1) * odds)


def fisher_tail(errors: int, requests: int, other_errors: int, other_requests: int) -> float:
    """One-sided Fisher exact test: how likely the first side has so many of all errors by chance."""
    total_errors, total = errors + other_errors, requests + other_requests
    highest = min(total_errors, requests)
    if errors <= max(0, total_errors - other_requests):
        return 1.0
    log_first = (
        _log_choose(requests, errors)
        + _log_choose(other_requests, other_errors)
        - _log_choose(total, total_errors)
    )

    def ratio(k: int) -> float:
        return (requests - k) * (total_errors - k) / ((k + 1) * (other_requests - total_errors + k + 1))

    return _tail(log_first, errors, highest, ratio)


def _surely_bad(canary: Window, baseline: Window | None, slo: Slo, min_samples: int) -> list[str]:
    reasons = []
    shown = f"{canary.errors} of {canary.requests} requests to the canary failed"
    if canary.errors >= 2 and binomial_tail(canary.errors, canary.requests, slo.error_rate_max) < SURE:
        reasons.append(f"{shown}, more than the objective of {slo.error_rate_max:.2%}")
    if baseline is not None and canary.errors >= 2:
        chance = fisher_tail(canary.errors, canary.requests, baseline.errors, baseline.requests)
        if baseline.requests and chance < SURE:
            reasons.append(f"{shown}, against {baseline.errors} of {baseline.requests} to the baseline")
    if len(canary.seconds) >= min_samples:
        reasons += _surely_slow(canary, baseline, slo, min_samples)
    return reasons


def _surely_slow(canary: Window, baseline: Window | None, slo: Slo, min_samples: int) -> list[str]:
    ordered = sorted(canary.seconds)
    p95 = percentile(ordered, 0.95)
    reasons = []
    if _mostly_above(ordered, slo.latency_p95_seconds_max):
        reasons.append(
            f"the canary's p95 is {p95:.3f} s, above the objective of {slo.latency_p95_seconds_max:.3f} s"
        )
    if baseline is not None and len(baseline.seconds) >= min_samples:
        others = sorted(baseline.seconds)
        usual = percentile(others, 0.95)
        limit = _clearly_above(usual)
        slower = percentile(ordered, 0.5) > _clearly_above(percentile(others, 0.5))
        if p95 > limit and slower and _mostly_above(ordered, limit):
            reasons.append(f"the canary's p95 is {p95:.3f} s, the baseline's {usual:.3f} s")
    return reasons


def _clearly_above(seconds: float) -> float:
    return max(seconds * SLOWER_FACTOR, seconds + SLOWER_SECONDS)


def _mostly_above(values: Sequence[float], limit: float) -> bool:
    above = sum(value > limit for value in values)
    return binomial_tail(above, len(values), TAIL_SHARE) < SURE


def _above_objective(canary: Stats, slo: Slo) -> list[str]:
    reasons = []
    if canary.error_rate > slo.error_rate_max:
        reasons.append(
            f"{canary.errors} of {canary.requests} requests to the canary failed, "
            f"more than the objective of {slo.error_rate_max:.2%}"
        )
    if canary.p95_seconds > slo.latency_p95_seconds_max:
        limit = slo.latency_p95_seconds_max
        reasons.append(f"the canary's p95 is {canary.p95_seconds:.3f} s, above the objective of {limit:.3f} s")
    return reasons


def _praise(canary: Stats, baseline: Stats | None) -> str:
    usual = f", the baseline {baseline.error_rate:.2%} and {baseline.p95_seconds:.3f} s" if baseline else ""
    return f"{canary.requests} requests: {canary.error_rate:.2%} failed, p95 {canary.p95_seconds:.3f} s{usual}"


def _log_choose(total: int, chosen: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(chosen + 1) - math.lgamma(total - chosen + 1)


def _tail(log_first: float, first: int, last: int, ratio: Callable[[int], float]) -> float:
    """The sum of a distribution's terms from ``first`` to ``last``; ``ratio(k)`` is term k+1 over term k.

    The terms are summed relative to the first, so that none of them underflows.
    """
    term = total = 1.0
    for k in range(first, last):
        term *= ratio(k)
        total += term
        if term < total * 1e-17 and ratio(k) < 1:
            break
        if total > 1e300:
            return 1.0
    return min(1.0, math.exp(log_first + math.log(total)))
