"""Edit distance against all ways, error rates against jiwer."""

from functools import cache

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.evaluation.transcription import character_error_rate, edit_distance, word_error_rate

WORDS = st.lists(st.sampled_from(["one", "two", "six"]), max_size=5)


def every_way(reference, hypothesis):
    """The least number of edits, by trying all."""

    @cache
    def cost(i, j):
        if i == 0 or j == 0:
            return i + j
        if reference[i - 1] == hypothesis[j - 1]:
            return cost(i - 1, j - 1)
        return 1 + min(cost(i - 1, j - 1), cost(i - 1, j), cost(i, j - 1))

    return cost(len(reference), len(hypothesis))


def apply(reference, hypothesis, operations):
    """Do the edits; give what the reference becomes."""
    result, i = [], 0
    for operation in operations:
        if operation == "same":
            result.append(reference[i])
        elif operation in ("substitution", "insertion"):
            result.append(hypothesis[len(result)])
        i += operation != "insertion"
    assert i == len(reference)
    return result


@settings(max_examples=80, deadline=None)
@given(st.text("abc", max_size=7), st.text("abc", max_size=7))
def test_edits_are_few_and_do_their_work(reference, hypothesis):
    edits = edit_distance(reference, hypothesis)
    assert edits.distance == every_way(reference, hypothesis) == sum(o != "same" for o in edits.operations)
    assert apply(reference, hypothesis, edits.operations) == list(hypothesis)
    assert edit_distance(hypothesis, reference).distance == edits.distance


def test_the_operations_by_hand():
    edits = edit_distance(["four", "two", "six"], ["four", "six", "six", "one"])
    assert (edits.distance, edits.operations) == (2, ("same", "substitution", "same", "insertion"))
    assert edit_distance("ab", "").operations == ("deletion", "deletion")
    assert edit_distance("", "").operations == ()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(WORDS.filter(bool), WORDS), min_size=1, max_size=4))
def test_rates_are_jiwers(pairs):
    references, hypotheses = (list(map(" ".join, side)) for side in zip(*pairs, strict=True))
    assert word_error_rate(references, hypotheses) == pytest.approx(jiwer.wer(references, hypotheses))
    assert character_error_rate(references, hypotheses) == pytest.approx(jiwer.cer(references, hypotheses))


def test_rates_by_hand():
    assert word_error_rate(["one two", "six"], ["one", "six six"]) == pytest.approx(2 / 3)  # not the mean of rates
    assert word_error_rate([" one  two "], ["one two"]) == 0
    assert character_error_rate(["ab", "c"], ["b", "c"]) == pytest.approx(1 / 3)
    assert word_error_rate(["one", ""], ["one", "two"]) == 1
    assert word_error_rate(np.array(["one"]), ("two",)) == 1


def test_bad_arguments_say_why():
    with pytest.raises(TypeError, match="references is 'one'; it must be a list of texts"):
        word_error_rate("one", ["one"])
    with pytest.raises(TypeError, match="hypotheses is 'one'"):
        character_error_rate(["one"], "one")
    with pytest.raises(ValueError, match="there are 1 references and 2 hypotheses"):
        word_error_rate(["one"], ["one", "two"])
    with pytest.raises(ValueError, match="references hold no word"):
        word_error_rate([" "], ["one"])
    with pytest.raises(ValueError, match="references hold no letter"):
        character_error_rate([""], ["one"])
