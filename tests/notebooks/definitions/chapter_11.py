"""What chapter 11 defines against what course_lib ships."""

from collections import Counter

import numpy as np

from course_lib.text import masking, wordpiece


def _words(rng, amount, letters="abcde"):
    """Random words with counts; few letters, so that pairs and ties are many."""
    drawn = ("".join(rng.choice(list(letters), size=rng.integers(1, 9))) for _ in range(amount))
    return Counter({word: int(rng.integers(1, 20)) for word in drawn})


def check_learn_wordpiece(learn_wordpiece, rng):
    for size in (20, 40, 80):
        counts = _words(rng, 60)
        assert learn_wordpiece(counts, size) == wordpiece.learn_wordpiece(counts, size)
    repeated = Counter({"aaaa": 3, "aaa": 2, "baaab": 1})  # overlapping pairs of equal letters
    assert learn_wordpiece(repeated, 12) == wordpiece.learn_wordpiece(repeated, 12)


def check_greedy_longest_match(greedy_longest_match, rng):
    counts = _words(rng, 60)
    vocabulary = set(wordpiece.learn_wordpiece(counts, 50))
    for word in [*counts, *_words(rng, 60, "abcdefg"), "zz", "az"]:
        expected = wordpiece.greedy_longest_match(word, vocabulary)
        assert greedy_longest_match(word, vocabulary) == expected
    assert greedy_longest_match("zz", vocabulary, "<unk>") == ["<unk>"]


def check_mask_tokens(mask_tokens, rng):
    """The same draws in the same order, so the same seed gives the same masks."""
    tokens = rng.integers(0, 40, size=(30, 25))
    for options in ({}, {"rate": 0.5}, {"parts": (1.0, 0.0, 0.0)}, {"parts": (0.0, 0.0, 1.0)}, {"rate": 0.0}):
        seed = int(rng.integers(2**31))
        mine, theirs = (
            mask(tokens, 40, 4, range(5), np.random.default_rng(seed), **options)
            for mask in (mask_tokens, masking.mask_tokens)
        )
        for ours, other in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(ours, other)
