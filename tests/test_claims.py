"""course_lib.claims: a sentence is printed with what bears it out, or the cell fails."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.claims import ClaimError, Condition, above, below, claim, within

numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)


def test_true_claim_prints_sentence_tick_and_values(capsys):
    claim("Small is small", 0.5 < 1, loss=0.5, batch_size=32, name="sgd")
    assert capsys.readouterr().out == "✓ Small is small\n  (loss 0.5; batch size 32; name sgd)\n"


def test_false_claim_fails_with_sentence_and_values(capsys):
    with pytest.raises(ClaimError, match=r"Large is small\n  \(loss 2; checked: 2 < 1\)"):
        claim("Large is small", below(2.0, 1.0), loss=2.0)
    assert "✓" not in capsys.readouterr().out


def test_claim_error_is_an_assertion():
    assert issubclass(ClaimError, AssertionError)


@pytest.mark.parametrize("condition", [np.bool_(True), True, below(1, 2), np.array(3) > 2])
def test_truth_values_of_all_kinds(condition):
    claim("Holds", condition)


@pytest.mark.parametrize("condition", [np.array([True, True]), "yes", 1, 0.3, None, [True]])
def test_what_is_no_single_truth_value_is_refused(condition):
    with pytest.raises(TypeError, match="it must be one truth value"):
        claim("Ambiguous", condition)


@pytest.mark.parametrize("sentence", ["", "  ", None, 3])
def test_a_claim_says_something(sentence):
    with pytest.raises(TypeError, match="sentence is"):
        claim(sentence, True)


@given(numbers, numbers)
def test_comparisons_are_strict(a, b):
    assert bool(below(a, b)) == (a < b)
    assert bool(above(a, b)) == (a > b)
    assert not below(a, a)
    assert not above(a, a)


@given(numbers, numbers, numbers)
def test_within(value, a, b):
    low, high = min(a, b), max(a, b)
    if low == high:
        with pytest.raises(ValueError, match="low must be smaller than high"):
            within(value, low, high)
    else:
        assert bool(within(value, low, high)) == (low < value < high)


@given(numbers, numbers)
def test_margin_has_the_sign_of_the_truth(a, b):
    for condition in (below(a, b), above(a, b)):
        if a != b:
            assert (condition.margin > 0) == bool(condition)


def test_margin_is_a_share_of_the_limit():
    assert below(8, 10).margin == pytest.approx(0.2)
    assert above(12, 10).margin == pytest.approx(0.2)
    assert within(1.9, 1, 2).margin == pytest.approx(0.2)
    assert within(1.5, 1, 2).margin == pytest.approx(1.0)
    assert within(2.1, 1, 2).margin == pytest.approx(-0.2)
    assert below(-0.5, 0).margin == pytest.approx(0.5)


def test_nan_is_never_within():
    for condition in (below(math.nan, 1), above(math.nan, 1), within(math.nan, 0, 1)):
        assert not condition
        with pytest.raises(ClaimError):
            claim("NaN", condition)


def test_log_records_holding_and_failing_claims(tmp_path, monkeypatch):
    log = tmp_path / "claims.jsonl"
    monkeypatch.setenv("COURSE_CLAIMS_LOG", str(log))
    claim("First", below(1, 4), a=1)
    with pytest.raises(ClaimError):
        claim("Second", False)
    first, second = (json.loads(line) for line in log.read_text().splitlines())
    assert first == {
        "sentence": "First", "holds": True, "condition": "1 < 4", "margin": 0.75, "measured": {"a": "1"}
    }  # fmt: skip
    assert (second["holds"], second["margin"]) == (False, None)


def test_condition_text():
    assert str(within(0.123456, 0, 1)) == "0 < 0.1235 < 1"
    assert str(above(2e6, 1)) == "2,000,000 > 1"
    assert isinstance(below(1, 2), Condition)


def test_small_arrays_are_written_out(capsys):
    claim("Arrays", True, of=np.array([0.123456, 2.0]), nested=[1, (2, "b")], flag=np.bool_(True), zero=np.array(0.5))
    assert capsys.readouterr().out == "✓ Arrays\n  (of 0.1235, 2; nested 1, 2, b; flag True; zero 0.5)\n"
