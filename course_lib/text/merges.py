"""Learning a vocabulary by joining the most frequent pair of neighbours, again and again.

The procedure was made for compressing files and taken over for text by Sennrich and others. Both kinds of tokens of
this package are learned by it: those of `course_lib.text.wordpiece` from characters, those of `course_lib.text.bpe`
from bytes.

>>> words = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
>>> alphabet = sorted(set("".join(words)))
>>> vocabulary, merges = learn_merges([list(word) for word in words], list(words.values()), alphabet, 13)
>>> merges
[('e', 's'), ('es', 't'), ('l', 'o')]
>>> merge(list("newest"), ("e", "s"), "es")
['n', 'e', 'w', 'es', 't']

References
----------
R. Sennrich, B. Haddow, A. Birch, Neural Machine Translation of Rare Words with Subword Units, 2016,
https://arxiv.org/abs/1508.07909, section 3.2
"""

from __future__ import annotations

import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise

from course_lib import _check

__all__ = ["learn_merges", "merge"]


def learn_merges(
    spellings: Sequence[Sequence[str]],
    counts: Sequence[int],
    alphabet: Sequence[str],
    size: int,
    join: Callable[[str, str], str] = operator.add,
) -> tuple[list[str], list[tuple[str, str]]]:
    """Join the most frequent pair of neighbours everywhere, until the vocabulary has its size or nothing is left.

    Among equally frequent pairs the one is taken whose first token is oldest, and among those the one whose second
    token is: the rule of the library ``tokenizers``. Pairs are counted before they are joined, so ``aaa`` holds the
    pair ``a a`` twice.

    Parameters
    ----------
    spellings : sequence of sequences of str
        The different words, each as its tokens so far.
    counts : sequence of int
        How often each word occurs.
    alphabet : sequence of str
        The tokens to begin with, oldest first.
    size : int
        How many tokens there shall be in the end.
    join : callable
        Gives the token that a pair becomes.

    Returns
    -------
    vocabulary : list of str
        The alphabet and then the new tokens, in the order in which they were made. More than `size` if the alphabet
        is.
    merges : list of pairs of str
        The pairs, in the order in which they were joined.
    """
    size = _check.count("size", size)
    words = [list(spelling) for spelling in spellings]
    frequency: Counter[tuple[str, str]] = Counter()
    holders = defaultdict(set)  # the words that hold a pair: only they change when it is joined
    for number, word in enumerate(words):
        for pair in pairwise(word):
            frequency[pair] += counts[number]
            holders[pair].add(number)
    age = {token: number for number, token in enumerate(alphabet)}
    merges = []
    while len(age) < size and (most := max(frequency.values(), default=0)) > 0:
        first, second = best = min(
            (pair for pair, times in frequency.items() if times == most), key=lambda pair: (age[pair[0]], age[pair[1]])
        )
        merges.append(best)
        token = join(first, second)
        age.setdefault(token, len(age))
        for number in holders.pop(best):
            for pair in pairwise(words[number]):
                frequency[pair] -= counts[number]
                if not frequency[pair]:
                    del frequency[pair]
            words[number] = merge(words[number], best, token)
            for pair in pairwise(words[number]):
                frequency[pair] += counts[number]
                holders[pair].add(number)
    return list(age), merges


def merge(word: list[str], pair: tuple[str, str], token: str) -> list[str]:
    """Replace a pair of neighbours by one token wherever it stands, from left to right."""
    result: list[str] = []
    for part in word:
        if result and (result[-1], part) == pair:
            result[-1] = token
        else:
            result.append(part)
    return result
