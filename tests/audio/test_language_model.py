"""The n-gram model against its formula written out, and what any language model must keep."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.audio.language_model import CharacterNGram

TEXTS = ["aab", "ab", "ba"]


def test_the_formula_written_out():
    model = CharacterNGram(TEXTS, order=2)
    # behind nothing: a 4, b 3, end 3 of 10, three kinds; below that 1/3 each
    single = {"a": (4 + 3 / 3) / 13, "b": (3 + 1) / 13, None: (3 + 1) / 13}
    # behind a: a 1, b 2, end 1; behind b: a 1, end 2
    after_a = {s: (n + 3 * single[s]) / 7 for s, n in {"a": 1, "b": 2, None: 1}.items()}
    after_b = {s: (n + 2 * single[s]) / 5 for s, n in {"a": 1, "b": 0, None: 2}.items()}
    for symbol in ("a", "b", None):
        assert model.log_probability("", symbol) == pytest.approx(math.log(single[symbol]))
        assert model.log_probability("bba", symbol) == pytest.approx(math.log(after_a[symbol]))
        assert model.log_probability("ab", symbol) == pytest.approx(math.log(after_b[symbol]))
    wanted = np.exp(-np.mean(np.log([single["a"], after_a["b"], after_b[None]])))
    assert model.perplexity(["ab"]) == pytest.approx(wanted)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text("abc", max_size=5), min_size=1, max_size=5), st.integers(1, 4), st.text("abcd", max_size=5))
def test_probabilities_sum_to_one(texts, order, before):
    model = CharacterNGram(texts, order, symbols="abcd")
    assert sum(math.exp(model.log_probability(before, s)) for s in ("a", "b", "c", "d", None)) == pytest.approx(1)


def test_unseen_beginnings_and_symbols():
    model = CharacterNGram(TEXTS, order=3, symbols="abz")
    assert model.log_probability("zz", "a") == model.log_probability("", "a")
    assert model.log_probability("a", "z") > -math.inf
    assert CharacterNGram(TEXTS, order=1).log_probability("bb", "a") == CharacterNGram(TEXTS, 1).log_probability(
        "", "a"
    )


def test_longer_memories_know_more():
    texts = ["one two", "two one", "six six one"] * 3
    perplexities = [CharacterNGram(texts, order).perplexity(texts) for order in (1, 2, 4)]
    assert perplexities == sorted(perplexities, reverse=True)
    assert perplexities[2] < 0.3 * perplexities[0]


def test_labels_are_symbols_too():
    letters, numbers = CharacterNGram(TEXTS, 3), CharacterNGram([[ord(c) for c in text] for text in TEXTS], 3)
    assert letters.log_probability("aa", "b") == numbers.log_probability([97, 97], 98)
    assert numbers.symbols == (97, 98)


def test_bad_arguments_say_why():
    with pytest.raises(ValueError, match="texts is empty"):
        CharacterNGram([])
    with pytest.raises(ValueError, match="texts holds 'b', which is not among symbols"):
        CharacterNGram(TEXTS, symbols="a")
    with pytest.raises(ValueError, match="order is 0"):
        CharacterNGram(TEXTS, 0)
    with pytest.raises(ValueError, match=r"label is 'z'; allowed are \('a', 'b'\)"):
        CharacterNGram(TEXTS).log_probability("a", "z")
    with pytest.raises(ValueError, match="texts is empty"):
        CharacterNGram(TEXTS).perplexity([])
