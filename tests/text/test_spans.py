"""Rows for span answering: labels point at the answer, windows lose nothing, the best span is the best of all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.data.squad import Answer, Question
from course_lib.text.spans import answer_text, best_spans, span_rows
from course_lib.text.wordpiece import WordPiece, learn_wordpiece

WORDS = ["Ada", "wrote", "notes", "in", "1843,", "über", "engines.", "你好"]


def tokenizer_of():
    return WordPiece(learn_wordpiece(" ".join(WORDS) + " who?", 60))


def question(words, first, last):
    """A question whose answer is the words from the first to the last."""
    context = "  ".join(words)
    start = len("  ".join([*words[:first], ""]))
    text = "  ".join(words[first : last + 1])
    return Question("q", "", context, "who?", (Answer(text, start),))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=25), st.integers(0, 24), st.integers(0, 3), st.integers(1, 8)
)
def test_labels_and_windows(words, first, size, stride):
    first = first % len(words)
    last = min(first + size, len(words) - 1)
    asked, tokenizer = question(words, first, last), tokenizer_of()
    rows = span_rows([asked, asked], tokenizer, length=20, stride=stride, most_asked=9)
    half = len(rows["tokens"]) // 2
    assert rows["question"].tolist() == [0] * half + [1] * half
    whole = tokenizer.encode(asked.context)
    covered = set()
    for row in range(half):
        inside = rows["places"][row, :, 0] >= 0
        np.testing.assert_array_equal(inside, (rows["segments"][row] == 1) & (rows["tokens"][row] != tokenizer.sep))
        ids = rows["tokens"][row][inside]
        assert row * stride in [n for n in range(len(whole)) if whole[n : n + len(ids)] == ids.tolist()]
        covered |= set(range(row * stride, row * stride + len(ids)))
        start, end = rows["start"][row], rows["end"][row]
        answer = asked.answers[0].text
        assert (start == 0) == (end == 0)
        if start:
            assert answer_text(rows, row, start, end, asked.context) == answer
        else:  # the window does not hold all of it
            seen = asked.context[rows["places"][row][inside][0, 0] : rows["places"][row][inside][-1, 1]]
            assert answer not in seen or len(words) > len(set(words))
    assert covered == set(range(len(whole)))
    fits = len(tokenizer.encode(asked.answers[0].text)) + stride <= 13
    assert rows["start"].any() or not fits


def test_no_answer_is_the_first_position():
    asked = Question("q", "", "Ada wrote notes", "who?", ())
    rows = span_rows([asked], tokenizer_of(), length=20, stride=4, most_asked=9)
    assert (rows["start"].tolist(), rows["end"].tolist()) == ([0], [0])
    assert answer_text(rows, 0, 0, 0, asked.context) == ""


def test_part_of_a_word_is_answered_by_its_tokens():
    """An answer that begins or ends inside a token is labelled by the tokens that it touches."""
    asked = Question("q", "", "Ada wrote", "who?", (Answer("rot", 5),))
    rows = span_rows([asked], tokenizer_of(), length=20, stride=4, most_asked=9)
    assert "rot" in answer_text(rows, 0, rows["start"][0], rows["end"][0], asked.context)


def test_neighbours_of_the_answer_do_not_count():
    """A sign right before or behind the answer is not a part of it."""
    asked = Question("q", "", "Ada, 1843, notes", "who?", (Answer("1843", 5),))
    rows = span_rows([asked], tokenizer_of(), length=20, stride=4, most_asked=9)
    assert answer_text(rows, 0, rows["start"][0], rows["end"][0], asked.context) == "1843"


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(2, 9), st.integers(1, 10))
def test_the_best_of_all(seed, rows, length, longest):
    rng = np.random.default_rng(seed)
    start, end = rng.normal(size=(2, rows, length))
    places = np.where(rng.random((rows, length)) < 0.6, 3, -1)[..., None].repeat(2, -1)
    first, last, score = best_spans(start, end, places, longest)
    for row in range(rows):
        pairs = {
            (i, j): start[row, i] + end[row, j]
            for i in range(length)
            for j in range(i, min(i + longest, length))
            if places[row, i, 0] >= 0 and places[row, j, 0] >= 0
        }
        if not pairs:
            assert (first[row], last[row], score[row]) == (0, 0, -np.inf)
            continue
        best = max(pairs, key=pairs.get)
        assert (first[row], last[row]) == best
        assert score[row] == pytest.approx(pairs[best] - start[row, 0] - end[row, 0])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"length": 12}, "length is 12; it must be a whole number of at least 13"),
        ({"stride": 9}, "stride is 9; a window may have as few as 8 tokens"),
        ({"stride": 0}, "stride is 0"),
        ({"most_asked": 0}, "most_asked is 0"),
    ],
)
def test_bad_arguments_say_why(options, text):
    with pytest.raises(ValueError, match=text):
        span_rows([], tokenizer_of(), **({"length": 20, "stride": 4, "most_asked": 9} | options))


def test_bad_scores_say_why():
    with pytest.raises(ValueError, match=r"have the shapes \(2, 3\), \(2, 3\) and \(2, 3\)"):
        best_spans(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="longest is 0"):
        best_spans(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((2, 3, 2)), 0)
