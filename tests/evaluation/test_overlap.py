"""BLEU and chrF against sacrebleu on random texts; ROUGE against brute force (and rouge-score in tests/reference)."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF

from course_lib.evaluation.overlap import Rouge, best_rouge, bleu, chrf, ngrams, rouge, words

quick = settings(deadline=None, max_examples=150)
token = st.sampled_from(["a", "b", "aa", "ab", "猫", "."])
sentence = st.lists(token, max_size=9)


@st.composite
def corpora(draw):
    """Hypotheses, each with as many references; a few tokens, so that much agrees and counts are clipped."""
    size, several = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    hypotheses = draw(st.lists(sentence, min_size=size, max_size=size))
    rows = st.lists(sentence, min_size=several, max_size=several)
    return hypotheses, draw(st.lists(rows, min_size=size, max_size=size))


def joined(lists):
    return [" ".join(tokens) for tokens in lists]


@quick
@given(corpora(), st.integers(1, 5), st.sampled_from(["exp", "add-k", "floor", "none"]))
def test_bleu_is_sacrebleus(corpus, order, smooth):
    hypotheses, references = corpus
    peer = BLEU(tokenize="none", smooth_method=smooth, max_ngram_order=order, force=True)
    wanted = peer.corpus_score(joined(hypotheses), [joined(column) for column in zip(*references, strict=True)]).score
    assert bleu(hypotheses, references, order, smooth) == pytest.approx(wanted, abs=1e-9)
    if len(references[0]) == 1:
        assert bleu(hypotheses, [row[0] for row in references], order, smooth) == pytest.approx(wanted, abs=1e-9)


@quick
@given(corpora(), st.integers(1, 7), st.sampled_from([1, 2, 3]))
def test_chrf_is_sacrebleus(corpus, order, beta):
    hypotheses, references = joined(corpus[0]), [joined(row) for row in corpus[1]]
    peer = CHRF(char_order=order, beta=beta)
    wanted = peer.corpus_score(hypotheses, [list(column) for column in zip(*references, strict=True)]).score
    assert chrf(hypotheses, references, order, beta) == pytest.approx(wanted, abs=1e-9)
    if len(references[0]) == 1:
        assert chrf(hypotheses, [row[0] for row in references], order, beta) == pytest.approx(wanted, abs=1e-9)


def test_defaults_are_sacrebleus():
    hypotheses = ["the cat is on the mat .", "there is a dog in the garden"]
    references = ["the cat sat on the mat .", "a dog is in the garden of ours"]
    cut = [text.split() for text in hypotheses], [text.split() for text in references]
    assert bleu(*cut) == pytest.approx(BLEU(tokenize="none").corpus_score(hypotheses, [references]).score)
    assert chrf(hypotheses, references) == pytest.approx(CHRF().corpus_score(hypotheses, [references]).score)
    assert bleu(*cut) > 20


def test_the_papers_example_of_clipping():
    """Papineni et al., section 2.1: 'the' seven times finds two of seven."""
    references = [text.split() for text in ("the cat is on the mat", "there is a cat on the mat")]
    assert bleu([["the"] * 7], [references], order=1, smooth="none") == pytest.approx(100 * 2 / 7)


def test_of_two_equally_close_lengths_the_shorter_counts():
    hypothesis, references = list("abcde"), [list("abcdef"), list("abcd")]
    assert bleu([hypothesis], [references], order=1) == 100  # no brevity penalty; against six tokens there is one
    assert bleu([hypothesis], [references[:1]], order=1) == pytest.approx(100 * np.exp(1 - 6 / 5))
    peer = BLEU(tokenize="none", max_ngram_order=1, force=True)
    assert peer.corpus_score(["a b c d e"], [["a b c d e f"], ["a b c d"]]).score == pytest.approx(100)


def test_tokens_may_be_numbers_and_arrays():
    rows, wanted = np.array([[1, 2, 3, 4], [5, 6, 7, 8]]), np.array([[1, 2, 3, 9], [5, 6, 7, 8]])
    as_text = [[str(n) for n in row] for row in rows.tolist()], [[str(n) for n in row] for row in wanted.tolist()]
    assert bleu(rows, wanted) == bleu(list(rows), list(wanted)) == bleu(*as_text)


@quick
@given(sentence)
def test_a_text_equals_itself(tokens):
    text = " ".join(tokens)
    assert bleu([tokens], [tokens]) == pytest.approx(100 if len(tokens) >= 4 else 0)
    assert chrf([text], [text]) == pytest.approx(100 if tokens else 0)
    for kind, least in (("rouge1", 1), ("rouge2", 2), ("rougeL", 1)):
        assert rouge(tokens, tokens, kind) == Rouge(*[float(len(tokens) >= least)] * 3)


@settings(deadline=None, max_examples=60)
@given(st.lists(token, max_size=7), st.lists(token, max_size=7))
def test_rouge_by_brute_force(ours, theirs):
    subsequences = {c for n in range(len(ours) + 1) for c in itertools.combinations(ours, n)}
    others = {c for n in range(len(theirs) + 1) for c in itertools.combinations(theirs, n)}
    shared = max(map(len, subsequences & others))
    assert rouge(ours, theirs, "rougeL") == scores(shared, len(ours), len(theirs))
    for n in (1, 2):
        left, right = ([tuple(t[i : i + n]) for i in range(len(t) - n + 1)] for t in (ours, theirs))
        rest, shared = list(right), 0
        for item in left:  # each n-gram of the reference is used up once
            if item in rest:
                rest.remove(item)
                shared += 1
        assert rouge(ours, theirs, f"rouge{n}") == scores(shared, len(left), len(right))


def scores(shared, written, wanted):
    if not shared:
        return Rouge(0.0, 0.0, 0.0)
    return pytest.approx((shared / written, shared / wanted, 2 * shared / (written + wanted)))


def test_rouge_of_texts():
    assert rouge("The cat, the CAT!", "a cat sat") == scores(1, 4, 3)
    assert rouge("b a", "a b", "rouge1").f1 == 1
    assert rouge("b a", "a b", "rougeL").f1 == 0.5
    assert rouge("猫 坐", "猫 坐").f1 == 0  # words of other scripts are dropped: cut them before
    assert rouge(list("猫坐"), list("猫睡")).f1 == 0.5
    best = best_rouge("a b c", ["x y", "a b", "a"], "rouge1")
    assert best == rouge("a b c", "a b")


def test_words_and_ngrams():
    assert words("It's 3.50€, naïve") == ["it", "s", "3", "50", "na", "ve"]
    assert words("…") == []
    assert ngrams([1, 2, 1, 2], 3) == {(1, 2, 1): 1, (2, 1, 2): 1}
    assert ngrams("ab", 3).total() == 0


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: bleu(["a b"], [["a"]]), r"hypotheses\[0\] is 'a b'; it must be a list of tokens: cut the text first"),
        (lambda: bleu([["a"]], ["a b"]), r"references\[0\] is 'a b'; it must be a list of tokens"),
        (lambda: bleu([["a"]], [[["a"], "b"]]), r"references\[0\] is 'b'"),
        (lambda: bleu("a b", "a b"), "hypotheses is the text 'a b'"),
        (lambda: bleu([["a"]], []), "there are 1 hypotheses and 0 references"),
        (lambda: bleu([], []), "there are 0 hypotheses and 0 references"),
        (lambda: bleu([["a"]], [["a"]], order=0), "order is 0"),
        (
            lambda: bleu([["a"]], [["a"]], smooth="more"),
            "smooth is 'more'; allowed are 'exp', 'add-k', 'floor', 'none'",
        ),
        (lambda: chrf([["a"]], ["a"]), r"hypotheses\[0\] holds \['a'\]; chrf compares strings"),
        (lambda: chrf(["a"], [["a", 3]]), r"references\[0\] holds 3; chrf compares strings"),
        (lambda: chrf(["a"], [[]]), r"references\[0\] is empty"),
        (lambda: chrf("a", "a"), "hypotheses is the text 'a'"),
        (lambda: chrf(["a"], ["a"], beta=0), "beta is 0"),
        (lambda: chrf(["a"], ["a"], order=1.5), r"order is 1\.5"),
        (lambda: rouge("a", 3), "reference is 3; it must be a list of tokens"),
        (lambda: rouge("a", "a", "rouge3"), "kind is 'rouge3'; allowed are 'rouge1', 'rouge2', 'rougeL'"),
        (lambda: best_rouge("a", "a"), "references is 'a'; it must be a list of at least one reference"),
        (lambda: best_rouge("a", []), r"references is \[\]"),
        (lambda: ngrams("a", 0), "n is 0"),
    ],
)
def test_errors_name_the_argument(call, text):
    with pytest.raises((TypeError, ValueError), match=text):
        call()
