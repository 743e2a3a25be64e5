"""How much a written text shares with a reference: BLEU and chrF for translations, ROUGE for summaries.

All three count n-grams, runs of n tokens or characters, that both texts have. They differ in what they divide by: BLEU
by what was written (precision), ROUGE also by what should have been (recall), chrF weighs both. None of them reads.

>>> reference = "the cat sat on the mat".split()
>>> round(bleu(["the cat sat on a mat".split()], [reference]), 1)
53.7
>>> round(chrf(["the cat sat on a mat"], ["the cat sat on the mat"]), 1)
66.0
>>> rouge("The cat sat.", "the cat sat on the mat", "rouge1")
Rouge(precision=1.0, recall=0.5, f1=0.6666666666666666)
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from course_lib import _check

__all__ = ["Rouge", "best_rouge", "bleu", "chrf", "ngrams", "rouge", "words"]

SMOOTHINGS = ("exp", "add-k", "floor", "none")
KINDS = ("rouge1", "rouge2", "rougeL")


class Rouge(NamedTuple):
    """A score of ROUGE: shares from 0 to 1.

    Attributes
    ----------
    precision : float
        The share of the hypothesis that stands in the reference.
    recall : float
        The share of the reference that stands in the hypothesis.
    f1 : float
        Their harmonic mean.
    """

    precision: float
    recall: float
    f1: float


def words(text: str) -> list[str]:
    """Cut a text into words as the program ROUGE does: lower case, and only the letters a to z and digits.

    Other letters separate words, so text in another script gives an empty list: cut it in another way, for example
    into characters, and give the lists to `rouge`.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of str

    Examples
    --------
    >>> words("Don't stop: 3.5 km!")
    ['don', 't', 'stop', '3', '5', 'km']
    """
    return re.findall("[a-z0-9]+", text.lower())


def ngrams(tokens: Sequence[Any], n: int) -> Counter[Any]:
    """Count the runs of `n` tokens.

    Parameters
    ----------
    tokens : sequence
        Of tokens, or a string, whose tokens are its characters.
    n : int
        At least 1.

    Returns
    -------
    Counter
        Empty where there are fewer than `n` tokens.

    Examples
    --------
    >>> ngrams("abab", 2).most_common()
    [(('a', 'b'), 2), (('b', 'a'), 1)]
    """
    return Counter(zip(*(tokens[start:] for start in range(_check.count("n", n))), strict=False))


def bleu(hypotheses: Sequence[Sequence[Any]], references: Sequence[Any], order: int = 4, smooth: str = "exp") -> float:
    r"""Score the translation of a whole corpus: ``sacrebleu``'s number for the same tokens.

    With the share :math:`p_n` of the n-grams of all hypotheses that a reference has, each counted at most as often as
    there, and :math:`c` and :math:`r` tokens in all hypotheses and references,

    .. math:: 100 \cdot \min(1, e^{1 - r/c}) \left(\prod_{n=1}^N p_n\right)^{1/N}.

    Parameters
    ----------
    hypotheses : list of list of tokens
        The translations. Tokens are strings or whole numbers; how a text is cut changes the score, so published ones
        name the tokenizer.
    references : list of list of tokens, or list of list of list of tokens
        For each hypothesis one good translation, or several: then an n-gram may come from any of them, and the length
        that counts is the closest one.
    order : int
        The longest n-gram.
    smooth : {"exp", "add-k", "floor", "none"}
        What stands for a share of 0, which would make the whole score 0: 1/2, 1/4, ... of an n-gram ("exp"), one more
        n-gram found and sought for all n above 1 ("add-k"), a tenth of an n-gram ("floor"), nothing ("none").

    Returns
    -------
    float
        From 0 to 100.

    Raises
    ------
    TypeError, ValueError
        If the lists do not fit, a text stands where a list of tokens must, or an argument is not allowed.

    Notes
    -----
    It is a score of a corpus: counts are summed over all sentences before they are divided, so it is no mean of the
    scores of sentences.

    References
    ----------
    K. Papineni et al., BLEU, 2002, https://doi.org/10.3115/1073083.1073135;
    M. Post, A Call for Clarity in Reporting BLEU Scores, 2018, https://arxiv.org/abs/1804.08771;
    B. Chen, C. Cherry, smoothing, 2014, https://doi.org/10.3115/v1/W14-3346
    """
    _check.count("order", order)
    _check.choice("smooth", smooth, SMOOTHINGS)
    found, sought, written, wanted = [0.0] * order, [0.0] * order, 0, 0
    for number, (hypothesis, candidates) in enumerate(_paired(hypotheses, references)):
        _require_tokens(f"hypotheses[{number}]", hypothesis)
        several = [candidates] if not candidates or not _is_list(candidates[0]) else candidates
        for reference in several:
            _require_tokens(f"references[{number}]", reference)
        written += len(hypothesis)
        # The closest reference's length; of two equally close ones the shorter.
        wanted += min((abs(len(reference) - len(hypothesis)), len(reference)) for reference in several)[1]
        for n in range(1, order + 1):
            ours: Counter[Any] = ngrams(hypothesis, n)
            theirs: Counter[Any] = Counter()
            for reference in several:
                theirs |= ngrams(reference, n)  # the larger of the two counts
            found[n - 1] += (ours & theirs).total()  # the smaller
            sought[n - 1] += ours.total()
    if not any(found):
        return 0.0
    if smooth == "add-k":
        found[1:], sought[1:] = [count + 1 for count in found[1:]], [count + 1 for count in sought[1:]]
    if not all(sought):  # every hypothesis is shorter than `order`
        return 0.0
    logarithms, halved = 0.0, 1.0
    for share, whole in zip(found, sought, strict=True):
        if share == 0:
            halved /= 2
            share = {"exp": halved, "floor": 0.1}.get(smooth, 0.0)
        logarithms += math.log(share / whole) if share else -math.inf
    return 100 * min(1.0, math.exp(1 - wanted / written)) * math.exp(logarithms / order)


def chrf(hypotheses: Sequence[str], references: Sequence[Any], order: int = 6, beta: float = 2.0) -> float:
    r"""Score the translation of a whole corpus by its characters: ``sacrebleu``'s chrF2.

    Precision :math:`P` and recall :math:`R` of n-grams of characters, spaces left out, are averaged over n from 1 to
    `order`; the score is :math:`100\,(1 + \beta^2) P R / (\beta^2 P + R)`. It needs no tokenizer, so it serves Chinese
    as well as English, and a word with a wrong ending counts in part.

    Parameters
    ----------
    hypotheses : list of str
        The translations.
    references : list of str, or list of list of str
        For each hypothesis one good translation, or several, of which the best fitting counts.
    order : int
        The longest n-gram.
    beta : float
        How much more recall counts than precision.

    Returns
    -------
    float
        From 0 to 100.

    Raises
    ------
    TypeError, ValueError
        If the lists do not fit, or an argument is not allowed.

    References
    ----------
    M. Popović, chrF, 2015, https://doi.org/10.18653/v1/W15-3049
    """
    _check.count("order", order)
    _check.positive("beta", beta)
    totals = [[0, 0, 0] for _ in range(order)]
    for number, (hypothesis, candidates) in enumerate(_paired(hypotheses, references)):
        several = [candidates] if isinstance(candidates, str) else candidates
        for name, text in ((f"hypotheses[{number}]", hypothesis), *((f"references[{number}]", r) for r in several)):
            if not isinstance(text, str):
                raise TypeError(f"{name} holds {text!r}; chrf compares strings")
        if not several:
            raise ValueError(f"references[{number}] is empty; there must be at least one reference")
        ours = _character_counts(hypothesis, order)
        best = max((_matches(ours, _character_counts(text, order)) for text in several), key=lambda c: _f(c, beta))
        totals = [[a + b for a, b in zip(total, new, strict=True)] for total, new in zip(totals, best, strict=True)]
    return _f(totals, beta)


def rouge(hypothesis: Any, reference: Any, kind: str = "rouge1") -> Rouge:
    """Score one summary against one reference: ``rouge-score``'s numbers, without stemming.

    Parameters
    ----------
    hypothesis, reference : str or list of tokens
        What was written and what should have been. A text is cut by `words`.
    kind : {"rouge1", "rouge2", "rougeL"}
        What is counted: words, pairs of neighbours, or the words of the longest common subsequence, which stand in the
        same order in both but not side by side.

    Returns
    -------
    Rouge
        Precision, recall and F1; 0 where there is nothing to divide by.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.

    References
    ----------
    C.-Y. Lin, ROUGE, 2004, https://aclanthology.org/W04-1013
    """
    ours, theirs = (
        words(text) if isinstance(text, str) else _require_tokens(name, text)
        for name, text in (("hypothesis", hypothesis), ("reference", reference))
    )
    if _check.choice("kind", kind, KINDS) == "rougeL":
        shared, written, wanted = _common_subsequence(ours, theirs), len(ours), len(theirs)
    else:
        left, right = (ngrams(tokens, int(kind[-1])) for tokens in (ours, theirs))
        shared, written, wanted = (left & right).total(), left.total(), right.total()
    if not shared:
        return Rouge(0.0, 0.0, 0.0)
    precision, recall = shared / written, shared / wanted
    return Rouge(precision, recall, 2 * precision * recall / (precision + recall))


def best_rouge(hypothesis: Any, references: Sequence[Any], kind: str = "rouge1") -> Rouge:
    """Score one summary against several references, each good by itself: the best F1 counts.

    Parameters
    ----------
    hypothesis, kind
        As in `rouge`.
    references : list of str, or list of list of tokens
        At least one.

    Returns
    -------
    Rouge

    Raises
    ------
    TypeError, ValueError
        As in `rouge`, and if there is no reference.
    """
    if isinstance(references, str) or not len(references):
        raise ValueError(f"references is {references!r}; it must be a list of at least one reference")
    return max((rouge(hypothesis, reference, kind) for reference in references), key=lambda score: score.f1)


# --- Parts ------------------------------------------------------------------------------------------------------------


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) > 0


def _require_tokens(name: str, tokens: Any) -> Any:
    """Require a list of tokens; arrays become lists."""
    if isinstance(tokens, str) or not _is_list(tokens):
        raise TypeError(f"{name} is {tokens!r}; it must be a list of tokens: cut the text first")
    return tokens.tolist() if hasattr(tokens, "tolist") else list(tokens)


def _paired(hypotheses: Sequence[Any], references: Sequence[Any]) -> list[tuple[Any, Any]]:
    for name, given in (("hypotheses", hypotheses), ("references", references)):
        if isinstance(given, str):
            raise TypeError(f"{name} is the text {given!r}; it must be a list with one entry for each sentence")
    if len(hypotheses) != len(references) or not len(hypotheses):
        raise ValueError(
            f"there are {len(hypotheses)} hypotheses and {len(references)} references; "
            "each hypothesis needs its entry, and there must be at least one"
        )
    return [
        tuple(value.tolist() if hasattr(value, "tolist") else value for value in pair)
        for pair in zip(hypotheses, references, strict=True)
    ]


def _character_counts(text: str, order: int) -> list[Counter[Any]]:
    dense = "".join(text.split())
    return [Counter(dense[start : start + n] for start in range(len(dense) - n + 1)) for n in range(1, order + 1)]


def _matches(ours: list[Counter[Any]], theirs: list[Counter[Any]]) -> list[list[int]]:
    """Give, for each n, how many n-grams were written, wanted and found.

    What was written does not count where the reference is shorter than n: there was nothing to find.
    """
    return [
        [left.total() if right else 0, right.total(), (left & right).total()]
        for left, right in zip(ours, theirs, strict=True)
    ]


def _f(counts: list[list[int]], beta: float) -> float:
    """Average precision and recall over the lengths that both sides have, and join them: from 0 to 100."""
    usable = [(found / written, found / wanted) for written, wanted, found in counts if written and wanted]
    precision, recall = (sum(shares) / len(usable) for shares in zip(*usable, strict=True)) if usable else (0.0, 0.0)
    if precision + recall == 0:
        return 0.0
    return 100 * ((1 + beta**2) * precision * recall / (beta**2 * precision + recall))


def _common_subsequence(first: Sequence[Any], second: Sequence[Any]) -> int:
    """Give the length of the longest common subsequence, row by row of the usual table."""
    above = [0] * (len(second) + 1)
    for left in first:
        row = [0]
        for place, right in enumerate(second):
            row.append(above[place] + 1 if left == right else max(above[place + 1], row[place]))
        above = row
    return above[-1]
