"""Spans by the decisions of CoNLL's program, written down tag by tag, and their scores by counting."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.evaluation.tagging import SpanScores, span_f1, span_scores, spans

quick = settings(deadline=None, max_examples=200)
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
sentence = st.lists(st.sampled_from(TAGS), max_size=8)


def by_the_program(tags):
    """Conlleval's questions at each token, for tags B, I and O: does a chunk end before it, does one start at it?"""
    found, start = [], None
    before, kind_before = "O", ""
    for place, tag in enumerate([*tags, "O"]):
        mark, kind = tag[0], tag[2:]
        ends = (before in "BI" and mark in "BO") or (before != "O" and kind_before != kind)
        starts = mark == "B" or (before == "O" and mark == "I") or (mark != "O" and kind_before != kind)
        if ends and start is not None:
            found.append((kind_before, start, place))
            start = None
        if starts:
            start = place
        before, kind_before = mark, kind
    return found


@quick
@given(sentence)
def test_spans_are_conlls(tags):
    assert spans(tags) == by_the_program(tags)


@quick
@given(st.lists(st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), max_size=6), min_size=1, max_size=4))
def test_scores_by_counting(pairs):
    true, predicted = ([[pair[side] for pair in row] for row in pairs] for side in (0, 1))
    for kind in (None, "PER"):
        wanted, written = (
            {(n, *span) for n, row in enumerate(rows) for span in by_the_program(row) if kind in (None, span[0])}
            for rows in (true, predicted)
        )
        right = len(wanted & written)
        scores = span_scores(true, predicted, kind)
        assert scores.precision == (right / len(written) if written else 0)
        assert scores.recall == (right / len(wanted) if wanted else 0)
        assert scores.f1 == pytest.approx(2 * right / (len(wanted) + len(written)) if wanted or written else 0)
        assert span_f1(true, predicted, kind) == scores.f1
        assert span_f1(predicted, true, kind) == scores.f1


def test_a_span_counts_as_a_whole():
    true = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-PER"]]
    assert span_scores(true, true) == SpanScores(1, 1, 1)
    cut = [["B-PER", "O", "O", "B-LOC"], ["O", "B-LOC"]]  # one end wrong, one right, one kind wrong
    assert span_scores(true, cut) == SpanScores(1 / 3, 1 / 3, pytest.approx(1 / 3))
    assert span_scores(true, cut, "LOC") == SpanScores(1 / 2, 1, pytest.approx(2 / 3))
    # Four of six tags are right, and no name of a person is.
    assert span_f1(true, cut, "PER") == 0


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: spans(["O", "E-PER"]), r"tags\[1\] is 'E-PER'; it must be 'O', 'B-kind' or 'I-kind'"),
        (lambda: spans(["B"]), r"tags\[0\] is 'B'"),
        (lambda: spans(["B-"]), r"tags\[0\] is 'B-'"),
        (lambda: spans([3]), r"tags\[0\] is 3; a tag is a string"),
        (lambda: spans("B-PER"), "tags is the text 'B-PER'"),
        (lambda: span_f1([["O"]], []), "true has 1 sentences and predicted 0"),
        (lambda: span_f1([], []), "true has 0 sentences"),
        (lambda: span_f1([["O"]], [["O", "O"]]), "sentence 0 has 1 true tags and 2 predicted ones"),
    ],
)
def test_errors_name_the_argument(call, text):
    with pytest.raises((TypeError, ValueError), match=text):
        call()
