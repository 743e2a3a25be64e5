"""Pairs of passages: half random, rows of BERT's form, no text lost, the same for the same seed."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.text.characters import CharacterTokenizer
from course_lib.text.corpus import python_documentation
from course_lib.text.pairs import sentence_pairs
from course_lib.text.wordpiece import WordPiece


def numbered(documents):
    """Documents whose every sentence says where it stands: a letter for the document and one for the place."""
    return [[chr(0x4E00 + d) + chr(0x5E00 + s) for s in range(size)] for d, size in enumerate(documents)]


def tokenizer_of(documents):
    return CharacterTokenizer.train([sentence for document in documents for sentence in document])


def parts_of(pairs, tokenizer, row):
    """Give the sentences (document, place) of A and of B."""
    tokens, segments = pairs["tokens"][row], pairs["segments"][row]
    found = []
    for segment in (0, 1):
        letters = tokenizer.decode(tokens[(segments == segment) & (tokens != tokenizer.pad)])
        found.append([(ord(d) - 0x4E00, ord(s) - 0x5E00) for d, s in zip(letters[::2], letters[1::2], strict=True)])
    return found


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(2, 9), min_size=2, max_size=6), st.integers(0, 1000), st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0.0, 0.5]),
)  # fmt: skip
def test_what_the_pairs_are(sizes, seed, random_share, short_share):
    documents = numbered(sizes)
    tokenizer = tokenizer_of(documents)
    options = {"length": 60, "random_share": random_share, "short_share": short_share}
    pairs = sentence_pairs(documents, tokenizer, rng=np.random.default_rng(seed), **options)
    taken = {number: [] for number in range(len(sizes))}
    for row, is_random in enumerate(pairs["next"]):
        first, second = parts_of(pairs, tokenizer, row)
        assert first
        assert second
        own, other = first[0][0], second[0][0]
        assert first == [(own, first[0][1] + step) for step in range(len(first))]
        assert second == [(other, second[0][1] + step) for step in range(len(second))]
        assert is_random == (own != other)
        taken[own] += first
        if not is_random:
            assert second[0][1] == first[-1][1] + 1
            taken[own] += second
    for number, size in enumerate(sizes):  # every sentence once, in its order, but for a last one that is left alone
        assert taken[number] in ([(number, s) for s in range(size)], [(number, s) for s in range(size - 1)])
    if random_share in (0, 1):
        assert (pairs["next"] == random_share).all()
    again = sentence_pairs(documents, tokenizer, rng=np.random.default_rng(seed), **options)
    assert all(np.array_equal(pairs[key], again[key]) for key in pairs)


@pytest.fixture(scope="module")
def real():
    documents = python_documentation(docstrings=False)
    tokenizer = WordPiece.train([sentence for document in documents for sentence in document], 1000)
    return documents, tokenizer


def test_half_are_random_and_rows_are_full(real):
    documents, tokenizer = real
    pairs = sentence_pairs(documents, tokenizer, 48, np.random.default_rng(0))
    tokens, rows = pairs["tokens"], len(pairs["next"])
    assert rows > 1000
    assert abs(pairs["next"].sum() - rows / 2) < 5 * math.sqrt(rows) / 2
    assert (tokens != 0).mean() > 0.8


def test_some_rows_are_short(real):
    documents, tokenizer = real
    filled = []
    for share in (0.0, 0.1, 1.0):
        rows = sentence_pairs(documents, tokenizer, 200, np.random.default_rng(0), short_share=share)["tokens"]
        filled.append((rows != 0).mean())
    assert filled[0] > filled[1] + 0.02 > filled[2] + 0.2


@pytest.mark.parametrize("length", [5, 6, 17, 64])
def test_rows_have_berts_form(real, length):
    documents, tokenizer = real
    pairs = sentence_pairs(documents[:20], tokenizer, length, np.random.default_rng(1))
    assert pairs["tokens"].shape == pairs["segments"].shape == (len(pairs["next"]), length)
    assert {pairs[key].dtype for key in pairs} == {np.dtype(np.int32)}
    for tokens, segments in zip(pairs["tokens"], pairs["segments"], strict=True):
        real_ones = int((tokens != tokenizer.pad).sum())
        assert not tokens[real_ones:].any()
        assert tokens[0] == tokenizer.cls
        assert (tokens == tokenizer.cls).sum() == 1
        first, second = np.flatnonzero(tokens == tokenizer.sep)
        assert second == real_ones - 1
        assert first >= 2
        assert second - first >= 2
        np.testing.assert_array_equal(np.flatnonzero(segments), np.arange(first + 1, second + 1))


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"length": 4}, ValueError, "length is 4; it must be a whole number of at least 5"),
        ({"random_share": 1.5}, ValueError, r"random_share is 1\.5; it must be from 0 to 1"),
        ({"short_share": -1}, ValueError, "short_share is -1"),
        ({"documents": [["a", "b"], ["a"]]}, ValueError, "documents has 1 with two sentences or more"),
        ({"documents": ["a b", "c"]}, TypeError, r"documents\[0\] is one string"),
    ],
)
def test_bad_arguments_say_why(options, error, text):
    documents = [["a", "b"], ["b", "a"]]
    arguments = {"documents": documents, "tokenizer": tokenizer_of(documents), "length": 9}
    with pytest.raises(error, match=text):
        sentence_pairs(**(arguments | options), rng=np.random.default_rng(0))
