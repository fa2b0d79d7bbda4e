"""The canary's judge: pure, independent of order, and unmoved by noise."""

from __future__ import annotations

import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from ripple.delivery.canary import Observed, Window, analyse, binomial_tail, fisher_tail, percentile, stats
from ripple.model.application import Slo
from ripple.model.gate import Verdict

SLO = Slo(error_rate_max=0.01, latency_p95_seconds_max=0.25)
OUTCOMES = st.lists(st.tuples(st.booleans(), st.floats(0.001, 2)), max_size=120)


def window(requests: int, errors: int = 0, seconds: float = 0.01) -> Window:
    return Window(requests, errors, (seconds,) * requests)


@given(OUTCOMES, OUTCOMES, st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_requests_never_matters(
    canary: list[tuple[bool, float]], baseline: list[tuple[bool, float]], random: object, ended: bool
) -> None:
    shuffled = sorted(canary)
    one = analyse(Observed(Window.of(canary), Window.of(baseline)), SLO, 20, ended=ended)
    assert one == analyse(Observed(Window.of(shuffled), Window.of(baseline[::-1])), SLO, 20, ended=ended)


@given(OUTCOMES, st.booleans())
def test_a_canary_with_too_few_requests_never_passes(canary: list[tuple[bool, float]], ended: bool) -> None:
    found = analyse(Observed(Window.of(canary[:19]), None), SLO, 20, ended=ended)
    assert found.verdict is not Verdict.PASS


@given(OUTCOMES)
def test_a_canary_never_passes_before_the_end(canary: list[tuple[bool, float]]) -> None:
    assert analyse(Observed(Window.of(canary), None), SLO, 1, ended=False).verdict is not Verdict.PASS


@given(st.integers(20, 400), st.integers(0, 400), st.integers(1, 50))
def test_more_errors_never_save_a_canary(requests: int, errors: int, more: int) -> None:
    errors = min(errors, requests)
    baseline = window(200)
    before = analyse(Observed(window(requests, errors), baseline), SLO, 20, ended=True)
    after = analyse(Observed(window(requests, min(requests, errors + more)), baseline), SLO, 20, ended=True)
    assert not (before.verdict is Verdict.FAIL and after.verdict is not Verdict.FAIL)


@given(st.integers(20, 300), st.floats(0.001, 0.2))
def test_a_canary_like_its_baseline_within_the_objective_passes(requests: int, seconds: float) -> None:
    side = window(requests, 0, seconds)
    found = analyse(Observed(side, side, side, side), SLO, 20, ended=True)
    assert found.verdict is Verdict.PASS


def test_a_canary_that_always_fails_is_caught_after_two_requests() -> None:
    found = analyse(Observed(window(2, 2), window(50)), SLO, 20, ended=False)
    assert found.verdict is Verdict.FAIL
    assert "2 of 2 requests to the canary failed" in found.reasons[0]


def test_one_error_among_few_requests_does_not_end_a_canary_early() -> None:
    assert analyse(Observed(window(5, 1), window(50)), SLO, 20, ended=False).verdict is Verdict.INCONCLUSIVE


def test_the_end_of_the_window_judges_by_the_objective_to_the_letter() -> None:
    assert analyse(Observed(window(100, 1), None), SLO, 20, ended=True).verdict is Verdict.PASS
    assert analyse(Observed(window(99, 1), None), SLO, 20, ended=True).verdict is Verdict.FAIL
    slow = Window(20, 0, (0.01,) * 18 + (0.3,) * 2)
    assert analyse(Observed(slow, None), SLO, 20, ended=True).verdict is Verdict.FAIL
    one_slow = Window(20, 0, (0.01,) * 19 + (0.3,))
    assert analyse(Observed(one_slow, None), SLO, 20, ended=True).verdict is Verdict.PASS


def test_a_fault_after_a_good_minute_is_seen_in_the_last_seconds() -> None:
    whole = window(1_000, 5)
    found = analyse(Observed(whole, window(4_000), window(20, 5), window(80)), SLO, 20, ended=False)
    assert found.verdict is Verdict.FAIL
    assert all("last seconds" in reason for reason in found.reasons if "5 of 20" in reason)


def test_a_canary_worse_than_its_baseline_fails_within_the_objective() -> None:
    loose = Slo(error_rate_max=0.2, latency_p95_seconds_max=5)
    found = analyse(Observed(window(200, 20), window(800, 4)), loose, 20, ended=True)
    assert found.verdict is Verdict.FAIL
    assert "baseline" in found.reasons[0]


def test_a_baseline_that_fails_just_as_often_excuses_the_canary_up_to_the_objective() -> None:
    loose = Slo(error_rate_max=0.2, latency_p95_seconds_max=5)
    assert analyse(Observed(window(200, 20), window(800, 80)), loose, 20, ended=True).verdict is Verdict.PASS


def test_a_slower_canary_fails_only_when_it_is_much_slower() -> None:
    usual = window(100, 0, 0.04)
    assert analyse(Observed(window(100, 0, 0.055), usual), SLO, 20, ended=True).verdict is Verdict.PASS
    assert analyse(Observed(window(100, 0, 0.065), usual), SLO, 20, ended=True).verdict is Verdict.FAIL
    quick = window(100, 0, 0.001)
    assert analyse(Observed(window(100, 0, 0.015), quick), SLO, 20, ended=True).verdict is Verdict.PASS


def test_a_burst_of_requests_that_wait_together_is_no_slower_canary() -> None:
    hiccup = Window(180, 0, (0.008,) * 156 + (0.12,) * 24)
    steady = Window(180, 0, (0.008,) * 180)
    assert analyse(Observed(hiccup, steady), SLO, 20, ended=True).verdict is Verdict.PASS
    slower = Window(180, 0, (0.09,) * 156 + (0.12,) * 24)
    assert analyse(Observed(slower, steady), SLO, 20, ended=False).verdict is Verdict.FAIL


def test_a_canary_that_turns_slow_is_seen_in_the_last_seconds() -> None:
    found = analyse(Observed(window(1_000), window(4_000), window(20, 0, 0.5), window(80)), SLO, 20, ended=False)
    assert found.verdict is Verdict.FAIL


@given(st.integers(1, 25), st.integers(1, 25), st.data())
def test_fishers_test_is_exact(requests: int, other: int, data: st.DataObject) -> None:
    errors = data.draw(st.integers(0, requests))
    other_errors = data.draw(st.integers(0, other))
    total = errors + other_errors
    ways = sum(
        math.comb(requests, k) * math.comb(other, total - k)
        for k in range(errors, min(requests, total) + 1)
        if total - k <= other
    )
    exact = Fraction(ways, math.comb(requests + other, total))
    assert math.isclose(fisher_tail(errors, requests, other_errors, other), float(exact), rel_tol=1e-9)


@given(st.integers(0, 60), st.integers(0, 60), st.fractions(0, 1, max_denominator=50))
def test_the_binomial_test_is_exact(successes: int, trials: int, chance: Fraction) -> None:
    exact = sum(
        math.comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in range(successes, trials + 1)
    )
    found = binomial_tail(successes, trials, float(chance))
    assert math.isclose(found, float(exact), rel_tol=1e-9, abs_tol=1e-300)


def test_the_tests_hold_for_a_day_of_traffic() -> None:
    assert binomial_tail(500_000, 1_000_000, 0.01) == 0
    assert math.isclose(binomial_tail(1, 1_000_000, 0.01), 1, rel_tol=1e-6)
    assert fisher_tail(400_000, 1_000_000, 10, 4_000_000) == 0
    assert 0.4 < binomial_tail(10_000, 1_000_000, 0.01) < 0.6


@given(st.lists(st.floats(0, 10), min_size=1, max_size=200), st.sampled_from([0.5, 0.95]))
def test_percentiles_are_by_nearest_rank(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share)
    exact = Fraction(str(share))
    assert sum(value <= found for value in ordered) >= exact * len(ordered)
    assert sum(value < found for value in ordered) < exact * len(ordered)


def test_an_empty_window_has_zeroes() -> None:
    assert stats(Window(0, 0, ())).error_rate == 0
    empty = analyse(Observed(Window(0, 0, ()), Window(0, 0, ())), SLO, 20, ended=True)
    assert empty.verdict is Verdict.INCONCLUSIVE


def test_false_alarms_are_rare() -> None:
    """At the objective itself, the early test ends about one good canary in a hundred looks, not more."""
    slo = replace_rate(0.05)
    alarms = sum(
        math.comb(100, k) * 0.05**k * 0.95 ** (100 - k)
        for k in range(101)
        if analyse(Observed(window(100, k), None), slo, 20, ended=False).verdict is Verdict.FAIL
    )
    assert alarms < 0.01


def replace_rate(rate: float) -> Slo:
    return SLO.model_copy(update={"error_rate_max": rate})
