"""Pairs of text passages, of which half follow each other: BERT's second task, next sentence prediction.

>>> from course_lib.text.wordpiece import WordPiece, learn_wordpiece
>>> documents = [["One two.", "Three four.", "Five six."], ["Seven eight.", "Nine ten."]]
>>> tokenizer = WordPiece(learn_wordpiece(" ".join(sum(documents, [])), 60))
>>> pairs = sentence_pairs(documents, tokenizer, length=12, rng=np.random.default_rng(0))
>>> pairs["tokens"].shape == pairs["segments"].shape == (len(pairs["next"]), 12)
True

References
----------
J. Devlin et al., BERT, 2019, https://arxiv.org/abs/1810.04805, section 3.1 and appendix A.2
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from course_lib import _check
from course_lib.text.tokenizer import Tokenizer

__all__ = ["sentence_pairs"]


def sentence_pairs(
    documents: Sequence[Sequence[str]],
    tokenizer: Tokenizer,
    length: int,
    rng: np.random.Generator,
    random_share: float = 0.5,
    short_share: float = 0.1,
) -> dict[str, np.ndarray]:
    """Make rows ``[CLS] A [SEP] B [SEP]``, where B follows A in its document, or comes from another one.

    Sentences are taken in their order until they fill a row; A is a random number of the first of them. B is the rest,
    or, with probability `random_share`, what stands somewhere in another document; the sentences that B did not use
    then start the next row, so that no text is lost.

    Parameters
    ----------
    documents : sequence of sequences of str
        Documents, each a list of sentences, as `course_lib.text.corpus.python_documentation` gives them.
    tokenizer : tokenizer
        With ``[CLS]``, ``[SEP]`` and ``[PAD]`` in its vocabulary.
    length : int
        Positions of a row. Where A and B are longer together, the longer one loses tokens at its end.
    rng : numpy.random.Generator
        Where the random numbers come from.
    random_share : float
        The share of random pairs, from 0 to 1.
    short_share : float
        The share of rows, from 0 to 1, that stop at a random shorter length, so that a model sees short texts too.

    Returns
    -------
    dict
        ``tokens`` and ``segments``, arrays of int32 with shape (rows, length), and ``next``, an array of int32 with
        shape (rows,): 0 where B follows A, 1 where it is random, as in BERT's published code.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range, or there are no two documents with two sentences each.

    Notes
    -----
    BERT's code makes every row random that holds one sentence only, so there more than half are. Here a row has at
    least two sentences, and a last sentence that is left alone in its document starts no row.

    References
    ----------
    J. Devlin et al., 2019, https://arxiv.org/abs/1810.04805, appendix A.2
    """
    _check.count("length", length, least=5)
    for name, share in (("random_share", random_share), ("short_share", short_share)):
        if not 0 <= _check.non_negative(name, share) <= 1:
            raise ValueError(f"{name} is {share!r}; it must be from 0 to 1")
    encoded = []
    for number, document in enumerate(documents):
        if isinstance(document, str):
            raise TypeError(f"documents[{number}] is one string; it must be a list of sentences")
        encoded.append([ids for ids in tokenizer.encode_many(list(document)) if ids])
    encoded = [document for document in encoded if len(document) >= 2]
    if len(encoded) < 2:
        raise ValueError(f"documents has {len(encoded)} with two sentences or more; there must be at least two of them")

    firsts: list[list[int]] = []
    seconds: list[list[int]] = []
    answers = []
    for number, lines in enumerate(encoded):
        start = 0
        while len(lines) - start >= 2:
            room = length - 3
            if rng.random() < short_share:
                room = int(rng.integers(2, room + 1))
            end, filled = start, 0
            while end < len(lines) and (end - start < 2 or filled < room):
                filled += len(lines[end])
                end += 1
            middle = start + int(rng.integers(1, end - start))  # A has at least one sentence, and so has B
            first = _joined(lines[start:middle])
            is_random = bool(rng.random() < random_share)
            if is_random:
                other = int(rng.integers(len(encoded) - 1))
                stranger = encoded[other + (other >= number)]  # any document but this one
                place = int(rng.integers(len(stranger)))
                second = _joined(stranger[place:], enough=max(1, room - len(first)))
            else:
                second = _joined(lines[middle:end])
            firsts.append(first)
            seconds.append(second)
            answers.append(is_random)
            start = middle if is_random else end
    tokens, segments = tokenizer.rows(firsts, seconds, length)
    return {"tokens": tokens, "segments": segments, "next": np.array(answers, np.int32)}


def _joined(sentences: Sequence[list[int]], enough: int | None = None) -> list[int]:
    """Join sentences, and stop behind the one with which there are enough tokens."""
    tokens: list[int] = []
    for sentence in sentences:
        if enough is not None and len(tokens) >= enough:
            break
        tokens += sentence
    return tokens
