"""Extractive summaries: PageRank against power iteration, choices on texts whose best sentence is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.evaluation.overlap import best_rouge
from course_lib.models.extractive import centrality, lead, oracle, similarity, textrank

TEXT = ["Rain fell on the town.", "The town hall flooded.", "Nobody minds.", "Rain flooded the hall of the town."]


def test_lead():
    assert lead(TEXT) == [0]
    assert lead(TEXT, 3) == [0, 1, 2]
    assert lead(TEXT[:2], 3) == [0, 1]


def test_similarity_by_hand():
    found = similarity(["The cat sat.", "the the cat", "Dog", "cat dog"])
    logs = np.log([3, 3, 1, 2])
    wanted = np.zeros((4, 4))
    for a, b, common in ((0, 1, 2), (0, 3, 1), (1, 3, 1), (2, 3, 1)):
        wanted[a, b] = wanted[b, a] = common / (logs[a] + logs[b])
    np.testing.assert_allclose(found, wanted)
    np.testing.assert_array_equal(similarity(["dog", "dog"]), np.zeros((2, 2)))  # both of one word: 1 / 0
    assert similarity([list("天气很好"), list("天气")])[0, 1] == pytest.approx(2 / np.log(8))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 7), st.floats(0, 0.95), st.integers(0, 2**32 - 1))
def test_centrality_is_what_iteration_reaches(nodes, damping, seed):
    rng = np.random.default_rng(seed)
    weights = rng.random((nodes, nodes)) * (rng.random((nodes, nodes)) < 0.6)
    scores = np.ones(nodes)
    for _ in range(600):  # section 2.2 of the paper, node by node
        scores = np.array(
            [
                1 - damping
                + damping
                * sum(
                    weights[i, j] / weights[:, j].sum() * scores[j] for j in range(nodes) if weights[:, j].sum() > 0
                )
                for i in range(nodes)
            ]
        )  # fmt: skip
    found = centrality(weights, damping)
    np.testing.assert_allclose(found, scores, atol=1e-9)
    assert (found >= 1 - damping - 1e-12).all()


def test_textrank_chooses_what_the_others_talk_of():
    assert textrank(TEXT, 1) == [3]
    assert textrank(TEXT, 2) == [1, 3]  # in the order of the text
    assert textrank(TEXT, 9) == [0, 1, 2, 3]
    order = [2, 3, 0, 1]
    assert textrank([TEXT[n] for n in order], 1) == [1]
    assert textrank(["one two", "three four", "five six"], 1) == [0]  # equally central: the first
    assert textrank([list("天气很好"), list("我们去天气很"), list("再见")], 1) == [0]
    np.testing.assert_allclose(centrality(similarity(TEXT))[2], 0.15)


def test_oracle_is_greedy_and_never_worse_than_one_sentence():
    assert oracle(TEXT, ["hall flooded"], 1) == [1]
    assert oracle(["a b", "c d", "a c e f g"], ["c d b"], 3) == [0, 1]  # first the second, then what it lacks
    assert oracle(["a b", "c d", "a c e f g"], ["c d b"], 1) == [1]
    assert oracle(TEXT, ["hall flooded town the"], 4) == [1]  # another sentence would only lower it
    assert oracle(TEXT, ["xyz"], 2) == [0]
    assert oracle(TEXT, ["xyz", "nobody"], 1) == [2]  # the better reference counts
    assert oracle([["a", "b"], ["b", "a"]], [["b", "a"]], 1, "rougeL") == [1]
    score = max(best_rouge(sentence, ["the rain of the town"]).f1 for sentence in TEXT)
    assert best_rouge(TEXT[oracle(TEXT, ["the rain of the town"])[0]], ["the rain of the town"]).f1 == score


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: lead("A text.", 1), r"sentences is the text 'A text\.'; it must be a list of sentences"),
        (lambda: lead([], 1), "sentences is empty"),
        (lambda: textrank(TEXT, 0), "count is 0"),
        (lambda: textrank(TEXT, 1, damping=1.0), r"damping is 1\.0"),
        (lambda: oracle("A text.", ["a"]), "sentences is the text"),
        (lambda: oracle(TEXT, []), r"references is \[\]"),
        (lambda: centrality([[0, -1], [1, 0]]), "it must be square, and no weight below 0"),
        (lambda: centrality(np.ones((2, 3))), r"weights has shape \(2, 3\); it must be square"),
    ],
)
def test_errors_name_the_argument(call, text):
    with pytest.raises((TypeError, ValueError), match=text):
        call()
