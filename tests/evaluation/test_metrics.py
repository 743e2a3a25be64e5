"""Every metric equals scikit-learn's on random inputs, with ties, absent classes and empty divisions among them.

What scikit-learn has no metric for is compared with a loop over the examples. scikit-learn warns where we do not.
"""

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as peer

from course_lib.evaluation import metrics as m

quick = settings(deadline=None, max_examples=60)
NAMES = np.array(["ant", "bee", "cat", "dog"])


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@st.composite
def labels(draw, classes=4, least=1, strings=True):
    """Two arrays of the same length; not every class need be in them."""
    n = draw(st.integers(least, 25))
    number = st.integers(0, draw(st.integers(0, classes - 1)))
    true, predicted = (np.array(draw(st.lists(number, min_size=n, max_size=n))) for _ in range(2))
    return (NAMES[true], NAMES[predicted]) if strings and draw(st.booleans()) else (true, predicted)


@st.composite
def scores(draw):
    """Two classes, both present, and scores with ties."""
    n = draw(st.integers(2, 25))
    true = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n).filter(lambda row: 0 < sum(row) < len(row)))
    score = draw(st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000001, 0.9, 1.0]), min_size=n, max_size=n))
    return np.array(true), np.array(score)


@st.composite
def probabilities(draw, classes=None, least=2):
    """Labels of which each class occurs, and rows that sum to 1."""
    k = classes or draw(st.integers(least, 4))
    n = draw(st.integers(k, 25))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    true = rng.permutation(np.r_[np.arange(k), rng.integers(k, size=n - k)])
    whole = draw(st.sampled_from([10, 1_000_003]))  # tenths give ties, and probabilities of 0 and 1
    return true, rng.multinomial(whole, rng.dirichlet(np.full(k, 0.3), size=n)) / whole


@quick
@given(labels())
def test_accuracy(pair):
    assert m.accuracy(*pair) == pytest.approx(peer.accuracy_score(*pair), abs=1e-15)


@quick
@given(labels(), st.booleans())
def test_balanced_accuracy(pair, adjusted):
    if adjusted and len(set(pair[0])) == 1:
        with pytest.raises(ValueError, match="y_true holds one class only"):
            m.balanced_accuracy(*pair, adjusted=True)
    else:
        expected = peer.balanced_accuracy_score(*pair, adjusted=adjusted)
        assert m.balanced_accuracy(*pair, adjusted=adjusted) == pytest.approx(expected, abs=1e-14)


@quick
@given(labels(), st.sampled_from([None, "true", "pred", "all"]), st.booleans())
def test_confusion_matrix(pair, normalize, choose):
    chosen = None if not choose else NAMES[[3, 0, 1]] if pair[0].dtype.kind == "U" else np.array([3, 0, 1])
    if choose and not set(chosen.tolist()) & set(pair[0].tolist()):
        with pytest.raises(ValueError, match="none of them occurs in y_true"):
            m.confusion_matrix(*pair, labels=chosen)
        return
    expected = peer.confusion_matrix(*pair, labels=chosen, normalize=normalize)
    found = m.confusion_matrix(*pair, labels=chosen, normalize=normalize)
    assert found.dtype.kind == ("i" if normalize is None else "f")
    np.testing.assert_allclose(found, expected, atol=1e-15)


AVERAGED = pytest.mark.parametrize(
    ("ours", "theirs", "extra"),
    [
        (m.precision, peer.precision_score, {}),
        (m.recall, peer.recall_score, {}),
        (m.f1, peer.f1_score, {}),
        (m.fbeta, peer.fbeta_score, {"beta": 0.5}),
        (m.fbeta, peer.fbeta_score, {"beta": 2.0}),
    ],
    ids=["precision", "recall", "f1", "f0.5", "f2"],
)


@AVERAGED
@quick
@given(
    pair=labels(),
    average=st.sampled_from(["macro", "micro", "weighted", None]),
    zero=st.sampled_from([0.0, 1.0, math.nan]),
    choose=st.booleans(),
)
def test_averages(ours, theirs, extra, pair, average, zero, choose):
    chosen = None if not choose else NAMES[[3, 1]] if pair[0].dtype.kind == "U" else np.array([3, 1])
    options = {"average": average, "zero_division": zero, "labels": chosen, **extra}
    np.testing.assert_allclose(ours(*pair, **options), theirs(*pair, **options), atol=1e-14)


@AVERAGED
@quick
@given(pair=labels(classes=2, strings=False), zero=st.sampled_from([0.0, 1.0, math.nan]), negative=st.booleans())
def test_binary(ours, theirs, extra, pair, zero, negative):
    options = {"zero_division": zero, "pos_label": 0 if negative else 1, **extra}
    np.testing.assert_allclose(ours(*pair, **options), theirs(*pair, **options), atol=1e-14)


@quick
@given(labels())
def test_matthews_correlation(pair):
    assert m.matthews_correlation(*pair) == pytest.approx(peer.matthews_corrcoef(*pair), abs=1e-12)


def test_matthews_correlation_of_many_examples():
    """The products of the counts pass 2**63, the largest whole number of NumPy."""
    true = np.repeat([0, 1], 100_000)
    predicted = np.r_[true[:90_000], 1 - true[90_000:110_000], true[110_000:]]
    assert m.matthews_correlation(true, predicted) == pytest.approx(0.8)


@quick
@given(scores(), st.booleans())
def test_roc_curve(pair, drop):
    for found, expected in zip(
        m.roc_curve(*pair, drop_intermediate=drop), peer.roc_curve(*pair, drop_intermediate=drop), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-15)


@quick
@given(scores(), st.booleans())
def test_roc_auc(pair, negative):
    true, score = pair
    assert m.roc_auc(true, score) == pytest.approx(peer.roc_auc_score(true, score), abs=1e-14)
    label = 0 if negative else 1
    a, b = score[true == label], score[true != label]
    wins = sum(Fraction(int(x > y)) + Fraction(int(x == y), 2) for x in a for y in b)
    assert m.roc_auc(true, score, pos_label=label) == pytest.approx(float(wins / (len(a) * len(b))), abs=1e-14)


@quick
@given(probabilities(least=3), st.sampled_from(["macro", "weighted", None]))
def test_roc_auc_one_against_the_rest(pair, average):
    expected = peer.roc_auc_score(*pair, multi_class="ovr", average=average)
    np.testing.assert_allclose(m.roc_auc(*pair, average=average), expected, atol=1e-13)


@quick
@given(scores())
def test_precision_recall_curve(pair):
    for found, expected in zip(m.precision_recall_curve(*pair), peer.precision_recall_curve(*pair), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-15)


@quick
@given(scores())
def test_average_precision(pair):
    assert m.average_precision(*pair) == pytest.approx(peer.average_precision_score(*pair), abs=1e-14)


@quick
@given(probabilities(), st.sampled_from([np.float64, np.float32]))
def test_log_loss(pair, dtype):
    true, proba = pair[0], pair[1].astype(dtype)
    assert m.log_loss(true, proba) == pytest.approx(
        peer.log_loss(true, proba), rel=1e-6 if dtype == np.float32 else 1e-9
    )


@quick
@given(probabilities(classes=2))
def test_one_probability_for_two_classes(pair):
    true, proba = pair
    for metric in (m.log_loss, m.brier_score, m.expected_calibration_error):
        # 1 - p has lost digits where p is near 1: a rounding unit over the least probability, a millionth
        assert metric(true, proba[:, 1]) == pytest.approx(metric(true, proba), abs=1e-9)
    assert m.log_loss(true, proba[:, 1]) == pytest.approx(peer.log_loss(true, proba[:, 1]), rel=1e-9)
    assert m.brier_score(true, proba[:, 1]) == pytest.approx(peer.brier_score_loss(true, proba[:, 1]), abs=1e-14)


@quick
@given(probabilities())
def test_brier_score(pair):
    true, proba = pair
    expected = np.mean(
        [sum((p - (c == t)) ** 2 for c, p in enumerate(row)) for t, row in zip(true, proba, strict=True)]
    )
    assert m.brier_score(true, proba) == pytest.approx(expected / (2 if proba.shape[1] == 2 else 1), abs=1e-14)


def test_columns_of_classes_that_are_absent_or_in_another_order():
    true, proba = ["cat", "ant", "cat"], np.array([[0.7, 0.1, 0.2], [0.2, 0.5, 0.3], [0.4, 0.1, 0.5]])
    order = ["cat", "bee", "ant"]
    assert m.log_loss(true, proba, labels=order) == pytest.approx(-np.mean(np.log([0.7, 0.3, 0.4])))
    assert m.top_k_accuracy(true, proba, k=1, labels=order) == pytest.approx(1 / 3)
    assert peer.log_loss(true, proba[:, ::-1], labels=order[::-1]) == pytest.approx(
        m.log_loss(true, proba, labels=order)
    )


@quick
@given(probabilities(least=3), st.integers(1, 5))
def test_top_k_accuracy(pair, k):
    true, proba = pair
    score = proba.round(1)  # ties
    expected = peer.top_k_accuracy_score(true, score, k=k)
    assert m.top_k_accuracy(true, score, k=k) == pytest.approx(expected, abs=1e-15)


@quick
@given(probabilities(), st.integers(1, 20))
def test_calibration(pair, bins):
    true, proba = pair
    groups = [[] for _ in range(bins)]
    for label, row in zip(true, proba, strict=True):
        sure = float(row.max())
        inside = [i for i in range(bins) if i / bins < sure <= (i + 1) / bins]
        groups[inside[0] if inside else bins - 1].append((sure, int(np.argmax(row)) == label))
    edges = np.linspace(0, 1, bins + 1)
    if np.isclose(proba.max(axis=1)[:, None], edges, rtol=0, atol=1e-12)[:, :-1].any():
        return  # which part holds 0.3 or 3 * 0.1 is a matter of rounding
    confidence, share, counts = m.reliability_curve(true, proba, bins=bins)
    assert counts.tolist() == [len(group) for group in groups]
    gap = 0.0
    for i, group in enumerate(groups):
        if group:
            mean, hits = (sum(column) / len(group) for column in zip(*group, strict=True))
            assert (confidence[i], share[i]) == pytest.approx((mean, hits))
            gap += len(group) / len(true) * abs(mean - hits)
        else:
            assert math.isnan(confidence[i])
            assert math.isnan(share[i])
    assert m.expected_calibration_error(true, proba, bins=bins) == pytest.approx(gap, abs=1e-12)


def test_calibration_at_the_ends_of_the_parts():
    """Each part holds its upper end, also the last one."""
    _, _, counts = m.reliability_curve([1, 1, 1], [0.5, 0.75, 1.0], bins=4, labels=[0, 1])
    assert counts.tolist() == [0, 1, 1, 1]


@st.composite
def numbers(draw):
    shape = draw(st.sampled_from([(2,), (5,), (20,), (3, 1), (6, 3)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    true, predicted = rng.normal(size=shape), rng.normal(size=shape)
    if draw(st.booleans()):
        true = np.ones(shape)
        predicted = true if draw(st.booleans()) else predicted
    return true, predicted


@quick
@given(numbers())
def test_regression(pair):
    assert m.mean_squared_error(*pair) == pytest.approx(peer.mean_squared_error(*pair), abs=1e-14)
    assert m.mean_absolute_error(*pair) == pytest.approx(peer.mean_absolute_error(*pair), abs=1e-14)
    assert m.r2_score(*pair) == pytest.approx(peer.r2_score(*pair), abs=1e-12)


LABELLED = [m.accuracy, m.balanced_accuracy, m.matthews_correlation]
MACRO = [lambda t, p, f=f: f(t, p, average="macro") for f in (m.precision, m.recall, m.f1)]
SCORED = [m.roc_auc, m.average_precision]


@quick
@given(labels(least=2), st.randoms())
def test_the_order_of_the_examples_does_not_matter(pair, random):
    order = list(range(len(pair[0])))
    random.shuffle(order)
    for metric in LABELLED + MACRO:
        assert metric(*(side[order] for side in pair)) == pytest.approx(metric(*pair), abs=1e-14)


@quick
@given(scores(), st.randoms())
def test_the_order_of_scored_examples_does_not_matter(pair, random):
    order = list(range(len(pair[0])))
    random.shuffle(order)
    for metric in SCORED:
        assert metric(*(side[order] for side in pair)) == pytest.approx(metric(*pair), abs=1e-14)
        assert metric(pair[0], 3 * pair[1] - 7) == pytest.approx(metric(*pair), abs=1e-14)  # only the order counts


def test_kinds_of_labels():
    assert m.accuracy([True, False], [1, 0]) == 1.0
    assert m.accuracy([1.0, 0.0], [1, 1]) == 0.5
    assert m.accuracy(np.array(["a", "b"], dtype=object), ["a", "b"]) == 1.0
    assert m.precision(["no", "yes"], ["yes", "yes"], pos_label="yes") == 0.5


WRONG = [
    (lambda: m.accuracy([0, 1], [0.2, 0.9]), ValueError, "y_pred holds 0.2, which is no class label"),
    (lambda: m.accuracy([0, 1], [[0], [1]]), ValueError, r"y_pred has shape \(2, 1\); it must have one dimension"),
    (lambda: m.accuracy([0, 1], [0]), ValueError, "y_pred has 1 examples and y_true 2"),
    (lambda: m.accuracy([], []), ValueError, r"y_true has shape \(0,\)"),
    (lambda: m.accuracy([0, 1], ["0", "1"]), TypeError, "labels must be of one kind"),
    (lambda: m.accuracy([0, float("nan")], [0, 1]), ValueError, "y_true holds nan"),
    (lambda: m.accuracy([0, None], [0, 1]), TypeError, "y_true has dtype object"),
    (lambda: m.accuracy([1j], [1]), TypeError, "y_true has dtype complex"),
    (lambda: m.precision([0, 1, 2], [0, 1, 2]), ValueError, "average is 'binary' and there are 3 classes"),
    (lambda: m.recall([0, 2], [0, 2]), ValueError, r"pos_label is 1; it must be one of the classes \[0, 2\]"),
    (lambda: m.f1([0, 1], [0, 1], average="samples"), ValueError, "average is 'samples'; allowed are 'binary'"),
    (lambda: m.f1([0, 1], [0, 1], zero_division=0.5), ValueError, "zero_division is 0.5; allowed are 0, 1 and NaN"),
    (lambda: m.fbeta([0, 1], [0, 1], beta=0), ValueError, "beta is 0; it must be a finite number above 0"),
    (lambda: m.f1([0, 1], [0, 1], labels=[1, 1], average="macro"), ValueError, "each class must stand there once"),
    (lambda: m.confusion_matrix([0], [0], normalize="rows"), ValueError, "normalize is 'rows'"),
    (lambda: m.roc_auc([1, 1], [0.1, 0.2]), ValueError, "y_true holds positives only"),
    (lambda: m.roc_curve([0, 0], [0.1, 0.2]), ValueError, "y_true holds negatives only"),
    (lambda: m.roc_auc([1, 2], [0.1, 0.2]), ValueError, r"y_true holds \[1, 2\]; give pos_label"),
    (lambda: m.roc_auc([1, 2], [0.1, 0.2], pos_label=3), ValueError, "pos_label is 3"),
    (lambda: m.roc_auc([0, 1, 2], [0.1, 0.2, 0.3]), ValueError, "y_true holds 3 classes; this metric is for two"),
    (lambda: m.roc_auc([0, 1], [0.1, np.nan]), ValueError, r"y_score has 1 value\(s\) that are NaN"),
    (lambda: m.roc_auc([0, 0, 1], np.eye(3), labels=[0, 1, 2]), ValueError, r"no example of \[2\]"),
    (lambda: m.average_precision([0, 0], [0.1, 0.2]), ValueError, "recall needs positives"),
    (lambda: m.average_precision([0, 1, 1], [0.1, 0.2]), ValueError, "y_score has 2 examples and y_true 3"),
    (lambda: m.log_loss([0, 1], [[0.5, 0.2], [0.5, 0.5]]), ValueError, "y_proba has rows that do not sum to 1"),
    (lambda: m.log_loss([0, 1], [-0.5, 0.5]), ValueError, "y_proba holds -0.5; it must be from 0 to 1"),
    (lambda: m.log_loss([0, 1], np.full((2, 3), 1 / 3)), ValueError, "y_proba has 3 columns, and there are 2 classes"),
    (lambda: m.log_loss([0, 3], np.full((2, 3), 1 / 3), labels=[0, 1, 2]), ValueError, "y_true holds 3, which is not"),
    (lambda: m.log_loss([0, 1], np.ones((2, 1, 1))), ValueError, "y_proba has shape"),
    (lambda: m.top_k_accuracy([0, 1], np.eye(2), k=0), ValueError, "k is 0; it must be a whole number of at least 1"),
    (lambda: m.brier_score([0, 1, 1], [0.5, 0.5]), ValueError, "y_proba has 2 examples and y_true 3"),
    (lambda: m.reliability_curve([0, 1], [0.5, 0.5], bins=0), ValueError, "bins is 0"),
    (
        lambda: m.mean_squared_error([1.0, 2.0], [[1.0], [2.0]]),
        ValueError,
        r"y_true has shape \(2,\) and y_pred \(2, 1\)",
    ),
    (lambda: m.mean_absolute_error([1.0], [np.inf]), ValueError, "y_pred has 1 value"),
    (lambda: m.mean_squared_error([], []), ValueError, "not empty"),
    (lambda: m.r2_score([1.0], [1.0]), ValueError, "r2_score needs at least 2"),
]


@pytest.mark.parametrize(("call", "error", "text"), WRONG, ids=[text[:40] for _, _, text in WRONG])
def test_wrong_input_is_named(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_arguments_stay_as_they_are():
    true, score = np.array([0, 1, 1]), np.array([0.5, 0.2, 0.5])
    proba = np.stack([1 - score, score], axis=1)
    kept = true.copy(), score.copy(), proba.copy()
    m.roc_curve(true, score), m.log_loss(true, proba), m.accuracy(true, true), m.reliability_curve(true, score)
    for now, before in zip((true, score, proba), kept, strict=True):
        np.testing.assert_array_equal(now, before)
