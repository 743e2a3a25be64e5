"""Masking: rates within binomial bounds, special tokens never chosen, labels where chosen; positions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.data.batches import Batches
from course_lib.text.masking import IGNORE, mask_tokens, masked_positions

SPECIAL = (0, 1, 2, 3, 4)
VOCABULARY = 1000


def within(count, trials, probability, deviations=5):
    """Say whether a count fits a binomial distribution: five standard deviations are exceeded once in 1.7 million."""
    return abs(count - trials * probability) <= deviations * math.sqrt(trials * probability * (1 - probability))


def text(rows=400, positions=128, seed=0):
    tokens = np.random.default_rng(seed).integers(5, VOCABULARY, (rows, positions))
    tokens[:, 0], tokens[:, 60], tokens[:, -1] = 2, 3, 3
    tokens[::2, 90:] = 0
    return tokens


@pytest.mark.parametrize(("rate", "parts"), [(0.15, (0.8, 0.1, 0.1)), (0.4, (0.5, 0.5, 0.0)), (0.3, (0.0, 0.3, 0.7))])
def test_rates(rate, parts):
    tokens = text()
    inputs, labels = mask_tokens(tokens, VOCABULARY, 4, SPECIAL, np.random.default_rng(1), rate, parts)
    free, chosen = ~np.isin(tokens, SPECIAL), labels != IGNORE
    assert within(chosen.sum(), free.sum(), rate)
    hidden, same = (inputs == 4)[chosen].sum(), (inputs == tokens)[chosen].sum()
    other = chosen.sum() - hidden - same
    by_chance = parts[1] / (VOCABULARY - 5)  # a random token may be the same one
    for count, part in ((hidden, parts[0]), (other, parts[1] - by_chance), (same, parts[2] + by_chance)):
        assert within(count, chosen.sum(), part)
    replaced = chosen & (inputs != 4) & (inputs != tokens)
    if parts[1]:
        assert np.abs(inputs[replaced].mean() - (5 + VOCABULARY) / 2) < 5 * VOCABULARY / math.sqrt(12 * replaced.sum())
    for column in (1, 59, 89):  # every position is as likely
        assert within(chosen[:, column].sum(), len(tokens), rate)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 1000), st.floats(0, 0.99), st.integers(6, 40),
    st.sets(st.integers(0, 4), min_size=1), st.sampled_from([(0.8, 0.1, 0.1), (1, 0, 0), (0, 1, 0), (0, 0, 1)]),
)  # fmt: skip
def test_invariants(seed, rate, vocabulary, special, parts):
    tokens = np.random.default_rng(seed).integers(0, vocabulary, (5, 9)).astype(np.int32)
    before = tokens.copy()
    inputs, labels = mask_tokens(tokens, vocabulary, 4, special, np.random.default_rng(seed), rate, parts)
    np.testing.assert_array_equal(tokens, before)
    assert inputs.shape == labels.shape == tokens.shape
    assert inputs.dtype == labels.dtype == tokens.dtype
    chosen = labels != IGNORE
    np.testing.assert_array_equal(labels[chosen], tokens[chosen])
    np.testing.assert_array_equal(inputs[~chosen], tokens[~chosen])
    assert not np.isin(tokens[chosen], list(special)).any()
    wrong = np.isin(inputs[chosen], list(special - {4}))
    assert not wrong.any()
    if parts[0] == 1:
        assert (inputs[chosen] == 4).all()
    if parts[2] == 1:
        np.testing.assert_array_equal(inputs, tokens)
    again = mask_tokens(tokens, vocabulary, 4, special, np.random.default_rng(seed), rate, parts)
    np.testing.assert_array_equal(again, (inputs, labels))


def test_every_token_replaces():
    """Random tokens are drawn from all but the special ones, the first and the last included."""
    tokens = np.full((60, 60), 7)
    inputs, _ = mask_tokens(tokens, 9, 4, SPECIAL, np.random.default_rng(0), 0.9, (0, 1, 0))
    assert set(np.unique(inputs)) == {5, 6, 7, 8}
    unsigned, labels = mask_tokens(tokens.astype(np.uint16), 9, 4, SPECIAL, np.random.default_rng(0), 0.9, (0, 1, 0))
    np.testing.assert_array_equal(unsigned, inputs)
    assert labels.min() == IGNORE


def test_masking_is_dynamic_in_batches():
    def transform(batch, rng):
        return mask_tokens(batch, VOCABULARY, 4, SPECIAL, rng)

    batches = Batches(text(8), 8, shuffle=False, transform=transform)
    first, second = batches[0], batches[1]
    assert not np.array_equal(first[1], second[1])
    np.testing.assert_array_equal(batches[0], first)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 15), st.floats(0, 0.9))
def test_positions_gather_the_labels(seed, positions, count, rate):
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random((4, positions)) < rate, rng.integers(0, 50, (4, positions)), IGNORE)
    places, answers, weights = masked_positions(labels, count)
    assert places.shape == answers.shape == weights.shape == (4, count)
    for row in range(4):
        chosen = np.flatnonzero(labels[row] != IGNORE)[:count]
        assert places[row].tolist() == chosen.tolist() + [0] * (count - len(chosen))
        assert answers[row].tolist() == labels[row, chosen].tolist() + [IGNORE] * (count - len(chosen))
        assert weights[row].tolist() == [1] * len(chosen) + [0] * (count - len(chosen))


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"rate": 1.0}, ValueError, r"rate is 1\.0"),
        ({"parts": (0.8, 0.1, 0.2)}, ValueError, "parts is .*sum to 1"),
        ({"parts": (1.2, -0.1, -0.1)}, ValueError, "parts is"),
        ({"parts": (0.5, 0.5)}, ValueError, "parts is"),
        ({"mask": 10}, ValueError, "mask is 10; it must be below vocabulary, 10"),
        ({"special": [11]}, ValueError, r"special is \[11\]"),
        ({"special": range(10)}, ValueError, "special holds all 10"),
        ({"tokens": np.array([10])}, ValueError, "numbers from 10 to 10; they must be from 0 to 9"),
        ({"tokens": np.array([-1])}, ValueError, "numbers from -1"),
        ({"tokens": np.array([0.5])}, TypeError, "tokens has dtype float64"),
        ({"vocabulary": 0}, ValueError, "vocabulary is 0"),
    ],
)
def test_bad_arguments_say_why(options, error, text):
    arguments = {"tokens": np.array([7]), "vocabulary": 10, "mask": 4, "special": SPECIAL}
    with pytest.raises(error, match=text):
        mask_tokens(**(arguments | options), rng=np.random.default_rng(0))


def test_bad_labels_say_why():
    with pytest.raises(ValueError, match=r"labels has shape \(3,\)"):
        masked_positions(np.zeros(3, int), 2)
    with pytest.raises(ValueError, match="count is 0"):
        masked_positions(np.zeros((3, 2), int), 0)
    with pytest.raises(TypeError, match="labels has dtype"):
        masked_positions(np.zeros((3, 2)), 1)
