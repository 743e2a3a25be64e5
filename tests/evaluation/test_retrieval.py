"""Rankings against scikit-learn without ties, and against a loop with them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as peer

from course_lib.evaluation.retrieval import mean_reciprocal_rank, ndcg, recall_at

quick = settings(deadline=None, max_examples=60)


@st.composite
def searches(draw, ties=False):
    """Scores, gains of which each query has one above 0 at least, and a rank."""
    queries, documents = draw(st.integers(1, 5)), draw(st.integers(2, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = rng.integers(0, 3, (queries, documents)) / 2 if ties else rng.permuted(
        np.tile(np.arange(documents) - 1.5, (queries, 1)), axis=1
    )  # fmt: skip
    gains = rng.integers(0, 4, (queries, documents)) * (rng.random((queries, documents)) < 0.5)
    gains[np.arange(queries), rng.integers(documents, size=queries)] = 2
    return scores, gains, draw(st.integers(1, documents))


@quick
@given(searches())
def test_rankings_are_scikit_learns(search):
    scores, gains, k = search
    assert ndcg(scores, gains, k) == pytest.approx(peer.ndcg_score(gains, scores, k=k))
    assert ndcg(scores, gains) == pytest.approx(peer.ndcg_score(gains, scores))
    answers, number = gains.argmax(axis=1), scores.shape[1]
    wanted = (
        peer.top_k_accuracy_score(answers, scores, k=k, labels=range(number)) if number > 2 and k < number else None
    )
    if wanted is not None:
        assert recall_at(scores, answers, k) == pytest.approx(wanted)
    one = np.arange(number) == answers[:, None]
    assert mean_reciprocal_rank(scores, answers) == pytest.approx(
        peer.label_ranking_average_precision_score(one, scores)
    )
    assert recall_at(scores, one, k) == recall_at(scores, answers, k)


@quick
@given(searches(ties=True))
def test_by_a_loop_with_ties_against_the_search(search):
    scores, gains, k = search
    recalls, ranks, discounted = [], [], []
    for row, worth in zip(scores, gains, strict=True):
        order = sorted(range(len(row)), key=lambda d: (-row[d], worth[d]))  # of equal scores the worse first
        hits = [worth[d] > 0 for d in order]
        first = sorted(range(len(row)), key=lambda d: (-row[d], worth[d] > 0))
        relevant = [worth[d] > 0 for d in first]
        recalls.append(sum(relevant[:k]) / sum(relevant))
        ranks.append(1 / (1 + relevant.index(True)))
        best = sorted(worth, reverse=True)[:k]
        discounted.append(
            sum(worth[d] / np.log2(i + 2) for i, d in enumerate(order[:k]))
            / sum(g / np.log2(i + 2) for i, g in enumerate(best))
        )
        assert sum(hits) == sum(relevant)
    assert recall_at(scores, gains > 0, k) == pytest.approx(np.mean(recalls))
    assert mean_reciprocal_rank(scores, gains > 0) == pytest.approx(np.mean(ranks))
    assert ndcg(scores, gains, k) == pytest.approx(np.mean(discounted))


def test_a_constant_answer_earns_nothing():
    scores, answers = np.zeros((4, 4)), np.arange(4)
    assert recall_at(scores, answers, 3) == 0
    assert mean_reciprocal_rank(scores, answers) == 0.25
    assert recall_at(scores, answers, 4) == 1
    assert recall_at(np.eye(4), answers, 1) == mean_reciprocal_rank(np.eye(4), answers) == 1


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: recall_at([[1, 2]], [0], 3), "k is 3; there are 2 documents"),
        (lambda: recall_at([[1, 2]], [0], 0), "k is 0"),
        (lambda: recall_at([[1, 2]], [2], 1), "relevant holds 2; documents are numbered from 0 to 1"),
        (lambda: recall_at([[1, 2]], [-1], 1), "relevant holds -1"),
        (lambda: recall_at([[1, 2]], [0, 1], 1), "relevant has 2 entries; there are 1 queries"),
        (lambda: recall_at([[1, 2]], [[0, 1]], 1), "relevant has dtype int64 and shape"),
        (lambda: recall_at([[1, 2]], [[True]], 1), r"relevant has shape \(1, 1\) and scores \(1, 2\)"),
        (lambda: mean_reciprocal_rank([[1, 2], [3, 4]], [[True, False], [False, False]]), "relevant has no .* query 1"),
        (lambda: ndcg([[1, 2]], [[0, 0]]), "gains has no relevant document for query 0"),
        (lambda: ndcg([[1, 2]], [[-1, 2]]), r"gains holds -1\.0; it must be at least 0"),
        (lambda: ndcg([[1, np.nan]], [[1, 2]]), "scores has 1 value"),
        (lambda: ndcg([[1, 2]], [[1, 2]], k=0), "k is 0"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(call, text):
    with pytest.raises((TypeError, ValueError), match=text):
        call()
