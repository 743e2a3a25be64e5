"""NASA's score by its two branches, and the cheapest threshold by trying all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.evaluation.prognostics import alarm_cost, cheapest_threshold, nasa_score

quick = settings(deadline=None, max_examples=80)
cycles = st.integers(0, 150)
score = st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]) | st.floats(0, 1)


@quick
@given(st.lists(st.tuples(cycles, cycles), min_size=1, max_size=8))
def test_nasa_score_by_a_loop(pairs):
    total = 0.0
    for true, predicted in pairs:
        d = predicted - true
        total += np.exp(-d / 13) - 1 if d < 0 else np.exp(d / 10) - 1
    true, predicted = zip(*pairs, strict=True)
    assert nasa_score(true, predicted) == pytest.approx(total)
    assert nasa_score(true, true) == 0


def test_to_promise_too_much_is_worse():
    assert nasa_score([50], [60]) == pytest.approx(np.e - 1)
    assert nasa_score([50], [37]) == pytest.approx(np.e - 1)
    assert nasa_score([50, 50], [60, 37]) == pytest.approx(2 * (np.e - 1))


@quick
@given(
    st.lists(st.tuples(st.integers(0, 1), score), min_size=1, max_size=12),
    st.sampled_from([0, 1, 5, 50]),
    st.sampled_from([0, 1, 3]),
)
def test_no_threshold_is_cheaper(pairs, miss, alarm):
    failed, scores = np.array(pairs).T
    threshold, cost = cheapest_threshold(failed, scores, miss, alarm)
    every = [np.inf, *sorted(set(scores), reverse=True)]
    costs = [alarm_cost(failed, scores >= t, miss, alarm) for t in every]
    assert cost == pytest.approx(min(costs))
    assert threshold == every[int(np.argmin(costs))]
    assert alarm_cost(failed, scores >= threshold, miss, alarm) == pytest.approx(cost)


def test_costs():
    assert alarm_cost([1, 0, 1, 0], [0, 1, 1, 0], miss=10, alarm=2) == 14
    assert alarm_cost([1, 0], [False, True], 1, 0.5) == 1.5
    assert cheapest_threshold([0, 1], [0.9, 0.1], miss=1, alarm=2) == (np.inf, 1.0)  # nobody is worth sending


def test_calibrated_probabilities_need_no_search():
    """Where a fifth of a failure's cost buys a visit, visits pay from a probability of a fifth on."""
    rng = np.random.default_rng(0)
    p = rng.beta(1, 5, 40_000)
    failed = (rng.random(len(p)) < p).astype(int)
    threshold, cost = cheapest_threshold(failed, p, miss=5, alarm=1)
    assert threshold == pytest.approx(0.2, abs=0.04)
    assert cost <= alarm_cost(failed, p > 0.2, 5, 1) <= 1.01 * cost


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: nasa_score([1, 2], [1]), r"true has shape \(2,\) and predicted \(1,\); they must be as long"),
        (lambda: nasa_score([], []), "not empty"),
        (lambda: nasa_score([1], [np.nan]), "predicted has 1 value"),
        (lambda: alarm_cost([1, 2], [0, 1], 1, 1), r"true holds 2\.0; it must hold 0 and 1"),
        (lambda: alarm_cost([1, 0], [0, 0.5], 1, 1), r"alarms holds 0\.5"),
        (lambda: alarm_cost([1], [1], -1, 1), "miss is -1"),
        (lambda: cheapest_threshold([1], [1], 1, -1), "alarm is -1"),
        (lambda: cheapest_threshold([1, 0], [1], 1, 1), "scores"),
    ],
)
def test_errors_name_the_argument(call, text):
    with pytest.raises((TypeError, ValueError), match=text):
        call()
